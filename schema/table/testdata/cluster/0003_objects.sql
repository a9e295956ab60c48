CREATE TABLE IF NOT EXISTS objects_local ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/throughline/objects_local', '{replica}', _offset)
ORDER BY (workspace, object_type, object_id)
SETTINGS index_granularity = 2048, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS objects ON CLUSTER 'main' AS throughline.objects_local
ENGINE = Distributed('main', 'throughline', 'objects_local', cityHash64(workspace, object_type, object_id));
