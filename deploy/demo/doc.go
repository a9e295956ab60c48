// Package demo fills a running Throughline with real input, one day of a bank's call-centre, through the public API:
// callers become customers, agents become users, and each call one event. Then it shows what one customer's timeline
// looks like.
package demo
