package assembly

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// goal is the size of the heap at which the next collection will end.
func goal() uint64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func TestHeapFloorDelaysTheCollector(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := goal()
	release := raiseHeapFloor()
	if raised := goal(); raised < before+heapFloor {
		t.Errorf("the goal went from %d to %d bytes, want at least %d more", before, raised, heapFloor)
	}
	release()
	if after := goal(); after > before+heapFloor {
		t.Errorf("the goal is still %d bytes, was %d", after, before)
	}
}

func TestHeapFloorLeavesTheOperatorsChoiceAlone(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", "")
			t.Setenv("GOMEMLIMIT", "")
			t.Setenv(name, "100")
			before := goal()
			defer raiseHeapFloor()()
			if after := goal(); after >= before+heapFloor {
				t.Errorf("the goal went from %d to %d bytes", before, after)
			}
		})
	}
}
