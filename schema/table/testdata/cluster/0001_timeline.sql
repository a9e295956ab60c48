CREATE TABLE IF NOT EXISTS timeline_local ON CLUSTER 'main'
(
    workspace    LowCardinality(String),
    object_type  LowCardinality(String),
    object_id    String,
    occurred_at  DateTime64(3, 'UTC'),
    event_id     String,
    primary_type LowCardinality(String),
    primary_id   String,
    kind         LowCardinality(String),
    link         LowCardinality(String),
    via          String,
    name         String,
    description  String,
    words        String CODEC(ZSTD(1)),
    icon         String,
    source       String,
    payload      String CODEC(ZSTD(3)),
    transition   String CODEC(ZSTD(3)),
    received_at  DateTime64(3, 'UTC'),
    stored_at    DateTime64(3, 'UTC'),
    _topic       LowCardinality(String),
    _partition   Int32,
    _offset      Int64 CODEC(Delta, ZSTD(1)),
    _row         Int32,
    INDEX event_id_bloom event_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX words_text words TYPE text(tokenizer = splitByString([' '])),
    INDEX occurred_minmax occurred_at TYPE minmax GRANULARITY 1,
    INDEX offset_minmax _offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/throughline/timeline_local', '{replica}')
PARTITION BY toYYYYMM(stored_at)
ORDER BY (workspace, object_type, object_id, occurred_at, event_id, primary_type, primary_id)
SETTINGS index_granularity = 2048, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS timeline ON CLUSTER 'main' AS throughline.timeline_local
ENGINE = Distributed('main', 'throughline', 'timeline_local', cityHash64(workspace, object_type, object_id));
