package run

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
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
	text := c.Format == "text" || (c.Format != "json" && Terminal(w))
	if text {
		return slog.New(utc{slog.NewTextHandler(w, options)}), nil
	}
	return slog.New(utc{slog.NewJSONHandler(w, options)}), nil
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

// utc writes times in UTC. Replacing the attribute would do so as well, and make every other attribute slower to write.
type utc struct{ slog.Handler }

// Handle implements slog.Handler.
func (u utc) Handle(ctx context.Context, r slog.Record) error {
	r.Time = r.Time.UTC()
	return u.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (u utc) WithAttrs(attrs []slog.Attr) slog.Handler { return utc{u.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (u utc) WithGroup(name string) slog.Handler { return utc{u.Handler.WithGroup(name)} }

// Terminal reports whether a person is likely to read what is written to w.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
