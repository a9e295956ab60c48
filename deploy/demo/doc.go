// Package demo fills a running Throughline with real input, one day of a bank's call centre, through the public API: each
// call becomes a conversation, callers customers and agents users. Then it shows what that gives: a customer's timeline,
// the day's report, and the wallboard as it was when most were waiting.
package demo
