// Package schematest gives tests real servers: a Kafka broker and a ClickHouse.
//
// A test asks with [Kafka] and [ClickHouse]; a server starts on the first use
// in a test binary and ends with it. Where a server comes from is decided once
// per binary, by the first of these that is there:
//
//   - KAFKA_BROKERS and CLICKHOUSE_ADDR name running ones;
//   - a Docker engine that has the images, or can pull them (see `make images`);
//   - Apache Kafka from its jars where Java and Maven are, and the ClickHouse
//     that package embedded finds;
//   - franz-go's kfake, and that same ClickHouse.
//
// SERVERS=docker, native or embedded forces one of the last three. A server
// that cannot be had skips the test and says why, unless INTEGRATION=required,
// which makes it a failure.
//
// Each package that uses it has a TestMain that calls [Main].
package schematest
