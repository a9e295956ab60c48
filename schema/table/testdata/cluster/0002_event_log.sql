CREATE TABLE IF NOT EXISTS event_log_local ON CLUSTER 'main'
(
    workspace   LowCardinality(String),
    received_at DateTime64(3, 'UTC'),
    event_id    String,
    status      LowCardinality(String),
    reason      String,
    name        String,
    icon        String,
    object_type LowCardinality(String),
    object_id   String,
    external_id String,
    occurred_at DateTime64(3, 'UTC'),
    links       String CODEC(ZSTD(3)),
    missing     String CODEC(ZSTD(3)),
    submission  String CODEC(ZSTD(3)),
    stored_at   DateTime64(3, 'UTC'),
    _topic      LowCardinality(String),
    _partition  Int32,
    _offset     Int64 CODEC(Delta, ZSTD(1)),
    _row        Int32,
    INDEX event_id_bloom event_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX object_bloom object_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX offset_minmax _offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/throughline/event_log_local', '{replica}')
PARTITION BY toYYYYMM(stored_at)
ORDER BY (workspace, received_at, event_id, _topic, _partition, _offset)
SETTINGS index_granularity = 2048, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS event_log ON CLUSTER 'main' AS throughline.event_log_local
ENGINE = Distributed('main', 'throughline', 'event_log_local', cityHash64(_topic, _partition));
