// Package connect says, for every command of the binary alike, where Kafka and ClickHouse are and how secrets are
// given: the same variables and flags everywhere.
package connect
