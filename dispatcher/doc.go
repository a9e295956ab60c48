// Package dispatcher tells endpoints of other people what happens: it plans deliveries from the log, posts them, tries
// again what failed, and keeps what became of each of them.
//
// DESIGN.md beside this file says what of that is exact and why, and names the tests that prove it.
package dispatcher
