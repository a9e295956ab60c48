// Package e2e tests the binary as people run it: real processes, real signals, real servers.
package e2e
