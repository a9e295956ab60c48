-- One row for each object that an event is linked to. The key ends with the primary object, because an event's id is
-- unique for its primary object only, and two events of one id may meet on an account's timeline.
-- Partitions go by the time of storing: it is ours. A client's times may span centuries, and an insert into more than
-- a hundred partitions is refused.
-- The column words is made of name and description by the projection, each word once and folded, because the server's
-- own tokenizers know the punctuation of ASCII only; spaces alone stand between its words.
-- The range of times of every granule lets a search in a whole workspace pass over all that lies outside its window.
CREATE TABLE IF NOT EXISTS timeline
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
ENGINE = MergeTree
PARTITION BY toYYYYMM(stored_at)
ORDER BY (workspace, object_type, object_id, occurred_at, event_id, primary_type, primary_id)
SETTINGS index_granularity = 2048, non_replicated_deduplication_window = 10000
