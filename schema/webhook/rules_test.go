package webhook_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/webhook"
)

func TestARetryIsNeverEarlyAndHardlyLate(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, waits := range []time.Duration{
		0, time.Second, 4 * time.Second, 6 * time.Second, 47 * time.Second, 5 * time.Minute, 29 * time.Minute, 2 * time.Hour,
		7*time.Hour + 13*time.Minute, 24 * time.Hour,
	} {
		now, due, hops := start, start.Add(waits), 0
		for now.Before(due) {
			tier, leaves := webhook.Hop(now, due, waits)
			if leaves.After(now.Add(tier.Delay)) || !leaves.After(now) {
				t.Fatalf("%s: leaves the topic of %s after %s", waits, tier.Delay, leaves.Sub(now))
			}
			now = leaves
			hops++
		}
		if late := now.Sub(due); late > max(time.Second, waits/20) {
			t.Errorf("%s: late by %s", waits, late)
		}
		if hops > 25 {
			t.Errorf("%s: %d hops", waits, hops)
		}
	}
}

func secret(n int) string {
	return webhook.SecretPrefix + base64.StdEncoding.EncodeToString(slices.Repeat([]byte{7}, n))
}

func TestSettingsThatBreakARuleAreNamed(t *testing.T) {
	t.Parallel()
	rate := 1e9
	tests := map[string]struct {
		change  func(*webhook.Endpoint, *webhook.Private)
		pointer string
	}{
		"as they should be":          {func(*webhook.Endpoint, *webhook.Private) {}, ""},
		"no events":                  {func(e *webhook.Endpoint, _ *webhook.Private) { e.Events = nil }, "/events"},
		"an unknown event":           {func(e *webhook.Endpoint, _ *webhook.Private) { e.Events = []string{"event.linked", "x"} }, "/events/1"},
		"an unknown scope":           {func(e *webhook.Endpoint, _ *webhook.Private) { e.AssignedScope = "some" }, "/assignedScope"},
		"an unknown format":          {func(e *webhook.Endpoint, _ *webhook.Private) { e.Format = "xml" }, "/format"},
		"an unknown order":           {func(e *webhook.Endpoint, _ *webhook.Private) { e.Ordering = "all" }, "/ordering"},
		"an empty team":              {func(e *webhook.Endpoint, _ *webhook.Private) { e.Teams = []string{""} }, "/teams/0"},
		"too many channels":          {func(e *webhook.Endpoint, _ *webhook.Private) { e.Channels = slices.Repeat([]string{"a"}, 101) }, "/channels"},
		"an unknown object type":     {func(e *webhook.Endpoint, _ *webhook.Private) { e.ObjectTypes = []object.Type{"X"} }, "/objectTypes/0"},
		"a long filter":              {func(e *webhook.Endpoint, _ *webhook.Private) { e.Filter = strings.Repeat("a", 2049) }, "/filter"},
		"no threshold":               {func(e *webhook.Endpoint, _ *webhook.Private) { e.QueueThreshold = 0 }, "/queueThreshold"},
		"a negative digest":          {func(e *webhook.Endpoint, _ *webhook.Private) { e.DigestSeconds = -1 }, "/digestSeconds"},
		"a rate without end":         {func(e *webhook.Endpoint, _ *webhook.Private) { e.RateLimit = &rate }, "/rateLimitPerSecond"},
		"a token of two lines":       {func(_ *webhook.Endpoint, p *webhook.Private) { p.AuthToken = "a\r\nX: y" }, "/authToken"},
		"a header that is ours":      {func(_ *webhook.Endpoint, p *webhook.Private) { p.AuthHeaderName = "webhook-ID" }, "/authHeaderName"},
		"a header of two words":      {func(_ *webhook.Endpoint, p *webhook.Private) { p.Headers = map[string]string{"a b": "c"} }, "/headers/a b"},
		"a header of the connection": {func(_ *webhook.Endpoint, p *webhook.Private) { p.Headers = map[string]string{"host": "c"} }, "/headers/host"},
		"a header of two lines":      {func(_ *webhook.Endpoint, p *webhook.Private) { p.Headers = map[string]string{"X-A": "c\nd"} }, "/headers/X-A"},
		"the token's header":         {func(_ *webhook.Endpoint, p *webhook.Private) { p.Headers = map[string]string{"x-token": "c"} }, "/headers/x-token"},
		"a short secret":             {func(_ *webhook.Endpoint, p *webhook.Private) { p.Secrets[0].Value = secret(23) }, "/signingSecret"},
		"a long secret":              {func(_ *webhook.Endpoint, p *webhook.Private) { p.Secrets[0].Value = secret(65) }, "/signingSecret"},
		"a secret without a prefix":  {func(_ *webhook.Endpoint, p *webhook.Private) { p.Secrets[0].Value = secret(32)[6:] }, "/signingSecret"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := endpoint()
			p := &webhook.Private{
				AuthToken: "Bearer x", AuthHeaderName: "X-Token", Headers: map[string]string{"X-Env": "prod"},
				Secrets: []webhook.Secret{{Value: secret(32)}},
			}
			tt.change(e, p)
			broken := append(e.Validate(), p.Validate()...)
			switch {
			case tt.pointer == "" && len(broken) > 0:
				t.Errorf("refused: %v", broken)
			case tt.pointer != "" && (len(broken) != 1 || broken[0].Pointer != tt.pointer):
				t.Errorf("got %v, want %s", broken, tt.pointer)
			}
		})
	}
}

func TestASecretSignsUntilItsTimeIsOver(t *testing.T) {
	t.Parallel()
	p := &webhook.Private{Secrets: []webhook.Secret{
		{Value: "new", CreatedAt: at()}, {Value: "old", CreatedAt: at(), ExpiresAt: after(time.Hour)},
	}}
	if got := p.Current(at().Time); len(got) != 2 {
		t.Errorf("during the rotation: %v", got)
	}
	if got := p.Current(after(time.Hour).Time); len(got) != 1 || got[0].Value != "new" {
		t.Errorf("after it: %v", got)
	}
}
