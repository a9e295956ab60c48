// Package embedded starts the servers that Throughline needs on a machine that
// has none: a real ClickHouse and a Kafka broker. `throughline dev` runs on
// them, and so do the tests, through schema/schematest.
//
// # ClickHouse
//
// [StartClickHouse] prefers a `clickhouse` binary on the PATH. Without one it
// loads libchdb, a whole ClickHouse in one shared library, in a process of its
// own. The library is published by the chDB project under the Apache License
// 2.0, as is ClickHouse itself; [Fetch] gets it from npm at a pinned version
// with a pinned hash and keeps it in the user's cache folder. Nothing of it is
// part of this repository or of a binary built from it.
//
// The engine is `clickhouse local`, which is not made to be a server: without a
// terminal it aborts on the exception that ends a connection, so that a desktop
// client with a wrong password would end everything. It is therefore given a
// terminal, behind which nobody sits. Whatever ends it all the same, it is
// started again with the same addresses, passwords and data, up to five times
// within a minute.
//
// # Kafka
//
// [StartKfake] runs franz-go's in-process broker (BSD 3-Clause), with a data
// folder if it shall keep its records. [StartApacheKafka] runs Apache Kafka
// (Apache License 2.0) from its Maven artifacts on the machine's Java.
//
// # Processes
//
// A server that is not Go code runs in a child process, and that child is this
// very executable started again. So each main and each TestMain calls
// [MaybeRunEngine] before anything else. A child holds the read end of a pipe
// from its parent and ends when that pipe closes, which the kernel sees to
// even where the parent is killed with SIGKILL: no server outlives the process
// that started it.
package embedded
