package dev

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestTheLogIsQuietUntilItIsOpened(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		level slog.Level
		early bool
	}{
		{"at info", slog.LevelInfo, false},
		{"at debug", slog.LevelDebug, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			base := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: test.level}))
			log, open := quietLogger(t.Context(), base)
			derived := log.With(slog.String("part", "x")).WithGroup("g")
			derived.InfoContext(t.Context(), "early")
			derived.WarnContext(t.Context(), "warning")
			open()
			derived.InfoContext(t.Context(), "late")
			if got := b.String(); strings.Contains(got, "early") != test.early || !strings.Contains(got, "warning") ||
				!strings.Contains(got, "late") || !strings.Contains(got, "part=x") {
				t.Errorf("got\n%s", got)
			}
		})
	}
}
