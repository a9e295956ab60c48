package stream

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kotel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/throughline/throughline/schema/traces"
)

// maxLinks bounds how many records a batch's span points to; it is what OpenTelemetry keeps by default.
const maxLinks = 128

// errKeyIsPersonal keeps keys out of traces.
var errKeyIsPersonal = errors.New("the key of a record names a customer")

// traceOptions has a client write the trace of each record into its headers, and continue it from there. Without a
// provider there is nothing to do, and nothing is done. Clients that read a topic from its beginning again and again,
// such as views, do without: a trace is about what happens now.
func traceOptions(cfg Config, deps Deps, group string) []kgo.Opt {
	if deps.Traces == nil {
		return nil
	}
	tracer := kotel.NewTracer(
		kotel.TracerProvider(deps.Traces),
		kotel.TracerPropagator(traces.Propagator{}),
		kotel.ClientID(cfg.ClientID),
		kotel.ConsumerGroup(group),
		kotel.KeyFormatter(func(*kgo.Record) (string, error) { return "", errKeyIsPersonal }),
	)
	return []kgo.Opt{kgo.WithHooks(sampledOnly{tracer})}
}

// sampledOnly leaves records alone whose trace is not kept: they carry no header and cost no span. What it decides when a
// record enters a buffer it decides again when the record leaves it, because the record's context says so both times.
type sampledOnly struct{ tracer *kotel.Tracer }

// OnProduceRecordBuffered implements kgo.HookProduceRecordBuffered.
func (s sampledOnly) OnProduceRecordBuffered(r *kgo.Record) {
	if traces.Sampled(r.Context) {
		s.tracer.OnProduceRecordBuffered(r)
	}
}

// OnProduceRecordUnbuffered implements kgo.HookProduceRecordUnbuffered.
func (s sampledOnly) OnProduceRecordUnbuffered(r *kgo.Record, err error) {
	if traces.Sampled(r.Context) {
		s.tracer.OnProduceRecordUnbuffered(r, err)
	}
}

// OnFetchRecordBuffered implements kgo.HookFetchRecordBuffered.
func (s sampledOnly) OnFetchRecordBuffered(r *kgo.Record) {
	if traces.Sampled(traces.Propagator{}.Extract(context.Background(), kotel.NewRecordCarrier(r))) {
		s.tracer.OnFetchRecordBuffered(r)
	}
}

// OnFetchRecordUnbuffered implements kgo.HookFetchRecordUnbuffered.
func (s sampledOnly) OnFetchRecordUnbuffered(r *kgo.Record, polled bool) {
	if traces.Sampled(r.Context) {
		s.tracer.OnFetchRecordUnbuffered(r, polled)
	}
}

// TraceLink points to the trace of a record that was polled; ok is false where it has none.
func TraceLink(r *Record) (link trace.Link, ok bool) {
	sc := trace.SpanContextFromContext(r.Context)
	return trace.Link{SpanContext: sc}, sc.IsSampled()
}

// StartBatch begins the span of a batch that is linked to the traces of its records, because a batch has many parents.
// Without a link, or a provider, there is no span. The caller ends it.
func StartBatch(ctx context.Context, provider trace.TracerProvider, name string, links []trace.Link, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if provider == nil || len(links) == 0 {
		return ctx, noop.Span{}
	}
	//nolint:spancheck // the caller ends it
	return provider.Tracer(traces.Scope).Start(ctx, name, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithLinks(links[:min(len(links), maxLinks)]...), trace.WithAttributes(attrs...))
}

// EndBatch ends the span of a batch with what became of it.
func EndBatch(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// batchSpan begins the span of a transaction.
func (p *Processor) batchSpan(ctx context.Context, polled map[int32][]*Record) (context.Context, trace.Span) {
	if p.deps.Traces == nil {
		return ctx, noop.Span{}
	}
	var links []trace.Link
	inputs := 0
	for _, records := range polled {
		inputs += len(records)
		for _, r := range records {
			if link, ok := TraceLink(r); ok && len(links) < maxLinks {
				links = append(links, link)
			}
		}
	}
	return StartBatch(ctx, p.deps.Traces, p.pc.Role+" transaction", links,
		attribute.Int("messaging.batch.message_count", inputs), attribute.Int("throughline.partitions", len(polled)))
}

// inherit has outputs go on with the traces of the inputs that they were made of.
func (p *Processor) inherit(ctx context.Context, in, out []*Record) {
	if p.deps.Traces == nil {
		return
	}
	for _, r := range out {
		origin, err := Origin(r)
		if err != nil {
			continue // checkOutput says so
		}
		i, found := slices.BinarySearchFunc(in, origin.Offset, func(r *Record, offset int64) int { return int(r.Offset - offset) })
		if !found {
			continue
		}
		if link, ok := TraceLink(in[i]); ok {
			r.Context = trace.ContextWithRemoteSpanContext(context.WithoutCancel(ctx), link.SpanContext) //nolint:fatcontext // each record has its own
		}
	}
}
