-- The latest state of every conversation: the row with the greatest offset wins, which is sound because all transitions
-- of a conversation stand in one partition, in the order of their versions.
CREATE TABLE IF NOT EXISTS conversations
(
    workspace          LowCardinality(String),
    conversation_id    String,
    version            Int64,
    state              LowCardinality(String),
    customer_id        String,
    agent_id           String,
    team               LowCardinality(String),
    channel            LowCardinality(String),
    opened_at          DateTime64(3, 'UTC'),
    queued_at          DateTime64(3, 'UTC'),
    last_transition_at DateTime64(3, 'UTC'),
    stays              Int32,
    conversation       String CODEC(ZSTD(3)),
    _topic             LowCardinality(String),
    _partition         Int32,
    _offset            Int64,
    _row               Int32,
    INDEX opened_minmax opened_at TYPE minmax GRANULARITY 1,
    INDEX state_set state TYPE set(8) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (workspace, conversation_id)
SETTINGS index_granularity = 2048, non_replicated_deduplication_window = 10000
