package embedded

// Images of the servers in containers, at the versions that run here without:
// those of the projects themselves, and those that `make images` builds from
// the jars and the engine where no registry can be reached.
const (
	KafkaImage           = "apache/kafka:" + kafkaVersion
	LocalKafkaImage      = "throughline-local/kafka:" + kafkaVersion
	ClickHouseImage      = "clickhouse/clickhouse-server:" + clickHouseVersion
	LocalClickHouseImage = "throughline-local/clickhouse:" + clickHouseVersion

	// clickHouseVersion is the release that engineVersion is of.
	clickHouseVersion = "26.7"
)
