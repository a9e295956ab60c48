package assembly

import (
	"os"
	"runtime"
)

// heapFloor is how much may be allocated between two collections at the least. The services hold little and allocate much,
// so that by the runtime's own measure, the heap's double, a busy edge would collect a dozen times a second; that took a
// quarter of the processor time of batches. The price is as much resident memory at the most.
const heapFloor = 64 << 20

// raiseHeapFloor keeps that much allocated until the returned function is called. Nobody touches it, so it takes addresses
// and no memory. Where the operator has set GOGC or GOMEMLIMIT, that holds and nothing else.
func raiseHeapFloor() (release func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	ballast := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(ballast) }
}
