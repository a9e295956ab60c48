package run

import (
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// logDelay is how long a line may wait for others. Nobody who follows a log notices it, and an edge that answers
	// ten thousand requests a second, each with its line, makes ten system calls for them instead of ten thousand.
	logDelay = 100 * time.Millisecond
	// logBuffer is how many bytes wait at most: some 200 lines.
	logBuffer = 64 << 10
)

// LogWriter gathers the lines of a log for up to 100 ms or 64 KiB. A logger of NewLogger that writes to it lets nothing
// wait from a warning on, with all that came before it. What waits when the process is killed is lost; Flush before the
// process ends.
type LogWriter struct {
	w io.Writer

	mu    sync.Mutex
	lines []byte
	timer *time.Timer
	err   error
}

// NewLogWriter returns a writer that gathers lines for w.
func NewLogWriter(w io.Writer) *LogWriter { return &LogWriter{w: w} }

// Write implements io.Writer. It returns the error of the lines before, which nobody else would see.
func (l *LogWriter) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines)+len(line) > logBuffer {
		l.flush()
	}
	first := len(l.lines) == 0
	l.lines = append(l.lines, line...)
	switch {
	case !first:
	case l.timer == nil:
		l.timer = time.AfterFunc(logDelay, func() { _ = l.Flush() }) // the error is kept for the next call
	default:
		l.timer.Reset(logDelay)
	}
	err := l.err
	l.err = nil
	return len(line), err
}

// Flush writes what waits.
func (l *LogWriter) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	return l.err
}

func (l *LogWriter) flush() {
	if len(l.lines) == 0 {
		return
	}
	_, l.err = l.w.Write(l.lines)
	l.lines = l.lines[:0]
}

// hurried reports whether a line must not wait.
func hurried(level slog.Level) bool { return level >= slog.LevelWarn }
