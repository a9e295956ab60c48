package webhook

import (
	"time"

	"github.com/throughline/throughline/schema/topic"
)

// Tier is a retry topic: what is put into it leaves it after its delay.
type Tier struct {
	Delay time.Duration
	Topic topic.Name
}

// Tiers lists the retry topics, the shortest delay first.
func Tiers() []Tier {
	return []Tier{
		{5 * time.Second, topic.WebhookRetries5s},
		{time.Minute, topic.WebhookRetries1m},
		{5 * time.Minute, topic.WebhookRetries5m},
		{30 * time.Minute, topic.WebhookRetries30m},
		{3 * time.Hour, topic.WebhookRetries3h},
	}
}

// leastTolerance is how much too late a retry may always be.
const leastTolerance = time.Second

// Hop says into which retry topic a delivery goes that is due at a time, and when it leaves it. waits is the whole delay:
// a retry may be late by a twentieth of it, which saves most of the hops, and is never early. Where the rest of the delay
// is shorter than every tier, the delivery leaves when it is due.
func Hop(now, due time.Time, waits time.Duration) (Tier, time.Time) {
	rest := due.Sub(now)
	tolerance := max(leastTolerance, waits/20)
	tiers := Tiers()
	best := tiers[0]
	for _, t := range tiers[1:] {
		if t.Delay <= rest+tolerance {
			best = t
		}
	}
	if best.Delay > rest+tolerance {
		return best, due
	}
	return best, now.Add(best.Delay)
}
