package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel/trace"
)

// LogConfig says how a process logs. The tags are kong's.
type LogConfig struct {
	// Level is the least level written.
	Level string `name:"log-level" env:"THROUGHLINE_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"Least level of the log: debug, info, warn or error."`
	// Format is auto, text or json.
	Format string `name:"log-format" env:"THROUGHLINE_LOG_FORMAT" default:"auto" enum:"auto,text,json" help:"Form of the log: text, json, or auto for text on a terminal and json elsewhere."`
}

// Validate says what is wrong with the configuration.
func (c LogConfig) Validate() error {
	if _, err := c.level(); err != nil {
		return err
	}
	switch c.Format {
	case "", "auto", "text", "json":
		return nil
	default:
		return fmt.Errorf("log format %q is none of auto, text, json", c.Format)
	}
}

// NewLogger returns a logger that writes to w. Times are in UTC, so that the
// lines of machines in several zones can be laid side by side.
func NewLogger(w io.Writer, c LogConfig) (*slog.Logger, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	level, err := c.level()
	if err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level}
	gathers, _ := w.(*LogWriter)
	text := c.Format == "text" || (c.Format != "json" && Terminal(w))
	if text {
		return slog.New(handler{slog.NewTextHandler(w, options), gathers}), nil
	}
	return slog.New(handler{slog.NewJSONHandler(w, options), gathers}), nil
}

func (c LogConfig) level() (slog.Level, error) {
	if c.Level == "" {
		return slog.LevelInfo, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return 0, fmt.Errorf("log level %q is none of debug, info, warn, error", c.Level)
	}
	return level, nil
}

// handler writes times in UTC: replacing the attribute would do so as well, and make every other attribute slower to
// write. It adds the trace that a line belongs to. It lets no warning wait.
type handler struct {
	slog.Handler

	gathers *LogWriter
}

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	r.Time = r.Time.UTC()
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	err := h.Handler.Handle(ctx, r)
	if h.gathers == nil || !hurried(r.Level) {
		return err
	}
	return errors.Join(err, h.gathers.Flush())
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs), h.gathers}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.gathers}
}

// Terminal reports whether a person is likely to read what is written to w.
func Terminal(w io.Writer) bool {
	if gathers, ok := w.(*LogWriter); ok {
		w = gathers.w
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
