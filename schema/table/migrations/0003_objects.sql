-- The latest state of every object: the row with the greatest offset wins, which is sound because all records of an
-- object stand in one partition. A row with deleted = 1 is a tombstone.
CREATE TABLE IF NOT EXISTS objects
(
    workspace   LowCardinality(String),
    object_type LowCardinality(String),
    object_id   String,
    external_id String,
    name        String,
    attributes  String CODEC(ZSTD(3)),
    relations   String CODEC(ZSTD(3)),
    updated_at  DateTime64(3, 'UTC'),
    deleted     UInt8,
    _topic      LowCardinality(String),
    _partition  Int32,
    _offset     Int64,
    _row        Int32
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (workspace, object_type, object_id)
SETTINGS index_granularity = 2048, non_replicated_deduplication_window = 10000
