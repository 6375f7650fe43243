// Package trace sets OpenTelemetry up from the environment: whether traces are made, where they are sent, and which.
// Nothing is set up, and nothing runs, unless the environment asks for it. The variables are those of OpenTelemetry's
// specification; its Go libraries read most of them by themselves, but take what they cannot read for unset. Here a
// wrong value is an error.
package trace
