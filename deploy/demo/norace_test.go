//go:build !race

package demo_test

// underRace says that the race detector is on.
const underRace = false
