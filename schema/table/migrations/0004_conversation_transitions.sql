-- One row for each transition of a conversation, in the order of time: reports read ranges of it. The transitions of one
-- conversation are found by its times, which the table conversations has.
-- Beside what happened, a row says what the conversation was like after it, and which stay in the queue it has ended, so
-- that no report needs the rows before it. A time that is not there is that of 1970, and a column beside it says so:
-- stay_ended, responded.
-- A stay and a handling are counted where they began, which is before the row that ends them: the ranges of stay_began and
-- first_responded_at let a report pass over what began elsewhere.
CREATE TABLE IF NOT EXISTS conversation_transitions
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
ENGINE = MergeTree
PARTITION BY toYYYYMM(stored_at)
ORDER BY (workspace, occurred_at, conversation_id, version)
SETTINGS index_granularity = 2048, non_replicated_deduplication_window = 10000
