// Package traces carries traces through the system: from HTTP requests into records of the log and out of them again.
// It knows OpenTelemetry's interfaces only; where traces go is decided where the program starts. Without a provider
// nothing is made, and nothing is carried.
package traces

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Scope names the instrumentation in every span.
const Scope = "github.com/throughline/throughline"

// Header is the name of the header that carries a trace, in requests and in records (W3C Trace Context).
const Header = "traceparent"

// HeaderBytes is the length of the header's value: two digits of version, 32 of trace, 16 of span, two of flags.
const HeaderBytes = 55

// Propagator reads and writes the header traceparent, and no other. What comes along in tracestate and baggage may have
// 16 KiB, which would be stored with every record of a batch.
type Propagator struct{ parent propagation.TraceContext }

// Inject implements propagation.TextMapPropagator.
func (p Propagator) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	p.parent.Inject(ctx, parentOnly{carrier})
}

// Extract implements propagation.TextMapPropagator.
func (p Propagator) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	return p.parent.Extract(ctx, parentOnly{carrier})
}

// Fields implements propagation.TextMapPropagator.
func (Propagator) Fields() []string { return []string{Header} }

// parentOnly hides every other header of a carrier.
type parentOnly struct{ propagation.TextMapCarrier }

// Get implements propagation.TextMapCarrier.
func (p parentOnly) Get(key string) string {
	if key != Header {
		return ""
	}
	return p.TextMapCarrier.Get(key)
}

// Set implements propagation.TextMapCarrier.
func (p parentOnly) Set(key, value string) {
	if key == Header {
		p.TextMapCarrier.Set(key, value)
	}
}

// Start begins a span below that of the context. Where that is not recorded, it does nothing and costs next to nothing.
// The caller ends the span.
func Start(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	above := trace.SpanFromContext(ctx)
	if !above.IsRecording() {
		return ctx, noop.Span{}
	}
	return above.TracerProvider().Tracer(Scope).Start(ctx, name, trace.WithAttributes(attrs...)) //nolint:spancheck // the caller ends it
}

// Sampled says whether the context's trace is one that is kept.
func Sampled(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsSampled() }
