// Package schematest gives tests real servers: a Kafka broker and a ClickHouse.
//
// A test asks with [Kafka] and [ClickHouse]; a server starts on the first use
// in a test binary and ends with it. Where a server comes from is decided once
// per binary: KAFKA_BROKERS and CLICKHOUSE_ADDR name running ones; otherwise
// Apache Kafka from its jars where Java and Maven are there, else franz-go's
// kfake, and an embedded ClickHouse. SERVERS=embedded or SERVERS=native forces
// a kind. A server that cannot be had skips the test and says why, unless
// INTEGRATION=required, which makes it a failure.
//
// Each package that uses it has a TestMain that calls [Main].
package schematest
