// Package stream is all the Kafka plumbing of Throughline, and the only importer of kgo outside of tests.
//
// What is in it, by what a service wants to do:
//
//   - append records and know that they are durable: Producer
//   - read batches of a topic and commit them with an intent, for a sink outside of Kafka: Consumer
//   - turn one topic into others exactly once: Processor and its Handler
//   - keep a compacted topic as a local store that can be brought up to date before a read: View
//   - wait until a consumer group has passed an offset, and measure how far behind it is: OffsetWatch
//   - create and verify topics, commit the first offsets of a group: EnsureTopics, CommitInitialOffsets
//
// DESIGN.md beside this file says why each of them is correct, and which test proves it.
package stream
