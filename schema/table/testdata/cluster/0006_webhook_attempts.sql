CREATE TABLE IF NOT EXISTS webhook_attempts_local ON CLUSTER 'main'
(
    workspace        LowCardinality(String),
    endpoint_id      String,
    planned_at       DateTime64(3, 'UTC'),
    delivery_id      String,
    attempt          Int32,
    type             LowCardinality(String),
    subject_type     LowCardinality(String),
    subject_id       String,
    event_id         String,
    status           LowCardinality(String),
    outcome          LowCardinality(String),
    at               DateTime64(3, 'UTC'),
    next_at          DateTime64(3, 'UTC'),
    status_code      Int32,
    error            String,
    timing           String,
    protocol         LowCardinality(String),
    reused           UInt8,
    request_headers  String CODEC(ZSTD(3)),
    response_headers String CODEC(ZSTD(3)),
    content          String CODEC(ZSTD(3)),
    truncated        UInt8,
    stored_at        DateTime64(3, 'UTC'),
    _topic           LowCardinality(String),
    _partition       Int32,
    _offset          Int64 CODEC(Delta, ZSTD(1)),
    _row             Int32,
    INDEX delivery_bloom delivery_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX subject_bloom subject_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX offset_minmax _offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/throughline/webhook_attempts_local', '{replica}')
PARTITION BY toYYYYMM(stored_at)
ORDER BY (workspace, endpoint_id, planned_at, delivery_id, attempt, _topic, _partition, _offset)
TTL toDateTime(stored_at) + INTERVAL 30 DAY
SETTINGS index_granularity = 2048, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS webhook_attempts ON CLUSTER 'main' AS throughline.webhook_attempts_local
ENGINE = Distributed('main', 'throughline', 'webhook_attempts_local', cityHash64(workspace, endpoint_id));
