-- One row for each delivery when it is planned (attempt 0, status PENDING), and one for each attempt to make it. All rows of
-- a delivery have the time at which it was planned, so that they stand together and a list of deliveries is read in order.
-- content is what was sent in the first row of a delivery, and what was answered in the others.
-- Rows live as long as the topic keeps their records: older ones could not be made again.
CREATE TABLE IF NOT EXISTS webhook_attempts
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
ENGINE = MergeTree
PARTITION BY toYYYYMM(stored_at)
ORDER BY (workspace, endpoint_id, planned_at, delivery_id, attempt, _topic, _partition, _offset)
TTL toDateTime(stored_at) + INTERVAL 30 DAY
SETTINGS index_granularity = 2048, non_replicated_deduplication_window = 10000
