// Command throughline is all of Throughline in one binary: the services, what an operator does to them, and dev, which
// runs everything on one machine.
//
// It exits with 0 when it has done what was asked, 1 where it could not, and 2 where it was not asked properly.
package main

//go:generate go test -run Reference -update .

import (
	"os"
	_ "time/tzdata" // a workspace's days begin in its own zone, also where the system knows none

	"github.com/throughline/throughline/schema/embedded"
)

func main() {
	// Where this process was started as a server of its parent, this never returns.
	embedded.MaybeRunEngine()
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}
