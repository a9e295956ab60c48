package dev

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// quiet lets only warnings and errors through until it is opened: while dev starts a person reads its progress, and
// lines about opened files and joined groups would bury it. Whoever asks for debug wants exactly these lines.
type quiet struct {
	slog.Handler

	loud *atomic.Bool
}

// quietLogger returns a logger that is quiet until the returned function is called.
func quietLogger(ctx context.Context, log *slog.Logger) (*slog.Logger, func()) {
	q := quiet{Handler: log.Handler(), loud: new(atomic.Bool)}
	q.loud.Store(log.Enabled(ctx, slog.LevelDebug))
	return slog.New(q), func() { q.loud.Store(true) }
}

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return (level >= slog.LevelWarn || q.loud.Load()) && q.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{Handler: q.Handler.WithAttrs(attrs), loud: q.loud}
}

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler {
	return quiet{Handler: q.Handler.WithGroup(name), loud: q.loud}
}
