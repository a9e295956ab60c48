// Package faults runs Throughline as it runs in earnest, breaks it at random, and counts.
//
// Kafka has three brokers, every service is a process of its own, and what the services say to Kafka and ClickHouse goes
// through proxies. A plan that follows from a seed kills and pauses processes and cuts, stalls and slows connections, while
// clients post what they know by id and repeat what is not answered. Afterwards everything that was acknowledged has to
// be there once, and nothing else. `make test-faults DURATION=10m SEED=7` replays a plan; what the machine makes of it, in
// which moment a kill hits, differs from run to run.
package faults
