// Package assembly puts services together to processes: what they share is opened once, in order, and closed in the
// opposite one. `throughline dev` assembles all of them, the other commands one side each.
package assembly
