CREATE TABLE IF NOT EXISTS conversation_transitions_local ON CLUSTER 'main'
(
    workspace          LowCardinality(String),
    occurred_at        DateTime64(3, 'UTC'),
    conversation_id    String,
    version            Int64,
    type               LowCardinality(String),
    from_state         LowCardinality(String),
    to_state           LowCardinality(String),
    first              UInt8,
    agent_type         LowCardinality(String),
    agent_id           String,
    rating             Int32,
    stay_ended         UInt8,
    stay_continues     UInt8,
    stay_number        Int32,
    stay_from          DateTime64(3, 'UTC'),
    stay_began         DateTime64(3, 'UTC'),
    stay_team          LowCardinality(String),
    stay_channel       LowCardinality(String),
    customer_id        String,
    team               LowCardinality(String),
    channel            LowCardinality(String),
    last_agent_type    LowCardinality(String),
    last_agent_id      String,
    opened_at          DateTime64(3, 'UTC'),
    responded          UInt8,
    first_responded_at DateTime64(3, 'UTC'),
    transition         String CODEC(ZSTD(3)),
    received_at        DateTime64(3, 'UTC'),
    stored_at          DateTime64(3, 'UTC'),
    _topic             LowCardinality(String),
    _partition         Int32,
    _offset            Int64 CODEC(Delta, ZSTD(1)),
    _row               Int32,
    INDEX conversation_bloom conversation_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX stay_minmax stay_began TYPE minmax GRANULARITY 1,
    INDEX responded_minmax first_responded_at TYPE minmax GRANULARITY 1,
    INDEX offset_minmax _offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/throughline/conversation_transitions_local', '{replica}')
PARTITION BY toYYYYMM(stored_at)
ORDER BY (workspace, occurred_at, conversation_id, version)
SETTINGS index_granularity = 2048, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS conversation_transitions ON CLUSTER 'main' AS throughline.conversation_transitions_local
ENGINE = Distributed('main', 'throughline', 'conversation_transitions_local', cityHash64(workspace, conversation_id));
