-- One row for each submission and what became of it. A submission that waits for its background job has a PENDING row
-- first, and another row when the job is done.
CREATE TABLE IF NOT EXISTS event_log
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
ENGINE = MergeTree
PARTITION BY toYYYYMM(stored_at)
ORDER BY (workspace, received_at, event_id, _topic, _partition, _offset)
SETTINGS index_granularity = 2048, non_replicated_deduplication_window = 10000
