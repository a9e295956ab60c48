#!/bin/sh
# Starts Apache Kafka as the official image does: KAFKA_A_B=x in the environment is a.b=x in the broker's configuration
# (two underscores are one, three a hyphen), CLUSTER_ID names the cluster, KAFKA_HEAP_OPTS and KAFKA_OPTS are for Java.
set -eu

folder=$(mktemp -d)
config=$folder/server.properties

# awk and not the shell reads the environment: a value may have several lines.
awk 'BEGIN {
	for (name in ENVIRON) {
		if (name !~ /^KAFKA_/ || name ~ /^KAFKA_(HEAP_OPTS|OPTS|JVM_PERFORMANCE_OPTS|LOG4J_OPTS|VERSION)$/) continue
		key = tolower(substr(name, 7))
		gsub(/___/, "-", key); gsub(/__/, "\001", key); gsub(/_/, ".", key); gsub(/\001/, "_", key)
		value = ENVIRON[name]
		gsub(/\\/, "\\\\", value); gsub(/\n/, "\\n", value)
		print key "=" value
	}
}' >"$config"

logs=$(sed -n 's/^log\.dirs=//p' "$config")
if [ -z "$logs" ]; then
	logs=/tmp/kraft-combined-logs
	echo "log.dirs=$logs" >>"$config"
fi

# Options are several words, so they stand without quotes; the star is for Java to expand.
set -f
java="java ${KAFKA_JVM_PERFORMANCE_OPTS:-} -cp /opt/kafka/libs/*"
if [ ! -e "${logs%%,*}/meta.properties" ]; then
	$java kafka.tools.StorageTool format \
		-t "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" -c "$config"
fi
exec $java ${KAFKA_HEAP_OPTS:--Xms64m -Xmx512m} ${KAFKA_OPTS:-} kafka.Kafka "$config"
