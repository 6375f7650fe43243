package trace

import (
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// linkBased keeps a trace whose beginning is linked to one that is kept, and drops it if all that it is linked to are
// dropped: else a tick would be kept and its run dropped, each by a draw of its own. Where there is no link, root
// decides.
type linkBased struct{ root sdk.Sampler }

// ShouldSample implements sdk.Sampler.
func (s linkBased) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	if len(p.Links) == 0 {
		return s.root.ShouldSample(p)
	}
	state := trace.SpanContextFromContext(p.ParentContext).TraceState()
	result := sdk.SamplingResult{Decision: sdk.Drop, Tracestate: state}
	for _, l := range p.Links {
		if l.SpanContext.IsSampled() {
			result.Decision = sdk.RecordAndSample
		}
	}
	return result
}

// Description implements sdk.Sampler.
func (s linkBased) Description() string { return "LinkBased{" + s.root.Description() + "}" }
