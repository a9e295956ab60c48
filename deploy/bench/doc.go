// Package bench measures the edge beside what limits it, in the same run: single POSTs beside a bare handler that reads the
// body and produces it with the same acknowledgement, batches beside the Kafka client library producing the same records.
//
// Every server under test is a process of its own, so that its processor time is told from that of the load. Rounds of ours
// and of the limit alternate, and a ratio is that of two neighbours: what disturbs the machine disturbs both.
package bench
