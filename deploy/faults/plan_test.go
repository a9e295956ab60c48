package faults

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// Kind is what a fault does.
type Kind string

// The kinds of faults.
const (
	// Kill ends a process with SIGKILL; it is started again after the fault.
	Kill Kind = "kill"
	// Leave ends a service in an orderly way; it is started again after the fault.
	Leave Kind = "leave"
	// Pause stops a process with SIGSTOP, and lets it go on after the fault.
	Pause Kind = "pause"
	// Cut closes the connections of a proxy and takes no more.
	Cut Kind = "cut"
	// Stall keeps the connections of a proxy open and lets nothing through.
	Stall Kind = "stall"
	// Slow delays what goes through a proxy.
	Slow Kind = "slow"
)

// Fault is one thing that goes wrong.
type Fault struct {
	// At is when it begins, counted from the beginning of the plan, and For how long it lasts.
	At, For time.Duration
	Kind    Kind
	// Target is the name of what it happens to.
	Target string
}

// String writes a fault as a line of a plan.
func (f Fault) String() string {
	return fmt.Sprintf("%7.2fs %-5s %-14s for %.2fs", f.At.Seconds(), f.Kind, f.Target, f.For.Seconds())
}

// Lane is what can go wrong one after the other: no two faults of a lane are at the same time.
type Lane struct {
	// Targets are chosen from at random, and so is one of Kinds. A lane without targets is left out.
	Targets []string
	Kinds   []Kind
	// Gap is the mean time between two faults, of which the shortest is half of it, and Longest that of a fault.
	Gap, Longest time.Duration
	// Past is how long a Pause has to last to be noticed by the others: every second one is longer than that.
	Past time.Duration
}

// Plan is faults in the order in which they begin.
type Plan []Fault

// String writes a plan, a fault a line.
func (p Plan) String() string {
	var b strings.Builder
	for _, f := range p {
		b.WriteString(f.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// NewPlan makes the plan of a seed: the same for the same seed, length and lanes. Every lane has at least one fault. A fault
// that begins before the end is carried through.
func NewPlan(seed uint64, length time.Duration, lanes []Lane) Plan {
	var plan Plan
	for i, lane := range lanes {
		if len(lane.Targets) == 0 {
			continue
		}
		// A lane's faults depend on no other lane, so that a lane that is left out changes nothing else.
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		at := between(random, 0, min(lane.Gap, length/2))
		for n := 0; at < length; n++ {
			f := Fault{At: at, Kind: lane.Kinds[random.IntN(len(lane.Kinds))], Target: lane.Targets[random.IntN(len(lane.Targets))]}
			f.For = between(random, lane.Longest/10, lane.Longest)
			if f.Kind == Pause && n%2 == 0 && lane.Past > 0 {
				f.For = between(random, lane.Past, lane.Past+lane.Longest/2)
			}
			plan = append(plan, f)
			at += f.For + between(random, lane.Gap/2, lane.Gap*3/2)
		}
	}
	slices.SortStableFunc(plan, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return plan
}

// between is a random time, to a hundredth of a second.
func between(random *rand.Rand, low, high time.Duration) time.Duration {
	const grain = 10 * time.Millisecond
	return (low + time.Duration(random.Int64N(int64(max(high-low, grain))))).Truncate(grain)
}

func TestAPlanFollowsFromItsSeed(t *testing.T) {
	t.Parallel()
	_, all := lanes()
	plan := NewPlan(7, time.Minute, all)
	if again := NewPlan(7, time.Minute, all); !slices.Equal(plan, again) {
		t.Errorf("the same seed gives\n%s and\n%s", plan, again)
	}
	if other := NewPlan(8, time.Minute, all); slices.Equal(plan, other) {
		t.Error("another seed gives the same plan")
	}
	kinds, until := map[string]int{}, map[string]time.Duration{}
	for i, f := range plan {
		if i > 0 && f.At < plan[i-1].At || f.At >= time.Minute || f.For <= 0 {
			t.Errorf("%s is out of place", f)
		}
		kinds[string(f.Kind)]++
		if f.At < until[f.Target] {
			t.Errorf("%s begins while another fault of its target lasts", f)
		}
		until[f.Target] = f.At + f.For
	}
	if len(kinds) != 6 {
		t.Errorf("a minute has the kinds %v, want all six", kinds)
	}
	all[0].Targets = nil
	for _, f := range NewPlan(7, time.Minute, all) {
		if !slices.Contains(plan, f) {
			t.Errorf("%s comes only when a lane is left out", f)
		}
	}
}
