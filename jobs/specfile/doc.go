// Package specfile reads stoker.yaml. Load returns a jobs.Spec, or every mistake of the file at
// once, each with its line and column:
//
//	bytes ──> yaml ──> decoder (fields, environment) ──> values and units ──> jobs.Spec
//	             └───────────┴── jobs.Problems ─────────────┴──> warnings (allowed, but likely not meant)
//
// Only commands import it: whoever enqueues tasks needs package jobs alone, without YAML.
package specfile
