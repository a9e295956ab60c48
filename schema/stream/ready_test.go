package stream_test

import (
	"testing"
	"time"
)

// Whoever trusts readiness earlier sends events that stay invisible until the group has settled.
func TestProcessorIsReadyOnlyOnceWhatItsGroupGaveItIsLoaded(t *testing.T) {
	t.Parallel()
	for _, b := range brokers() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			cfg := b.config(t)
			ensureTopics(t, cfg, specs(2))
			commitInitial(t, cfg, "copy", inputs)
			c := newCopier(cfg)
			p, _ := startProcessor(t, cfg, processorConfig(), c)
			eventually(t, 20*time.Second, func() (string, bool) {
				return "not ready", p.Ready() == nil
			})
			if _, _, _, loads := c.seen(); loads < 2 {
				t.Errorf("ready after %d loads, want one of each of 2 partitions", loads)
			}
		})
	}
}
