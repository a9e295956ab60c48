package store

import "github.com/throughline/throughline/schema/problem"

// Codes lists the error codes that are classed on purpose.
func Codes() []Code {
	const (
		busy      = "the server has too much to do or too little left; it recovers"
		unreached = "a server was not reached, or broke off; the outcome is unknown"
		stopped   = "the query was stopped from outside; the outcome is unknown"
		quorum    = "replicas are away; they come back"
		greedy    = "the query reads or returns more than it may"
		rights    = "the user may not do this, or is not let in"
		tables    = "the tables are not those of this version: migrate"
		program   = "the program wrote a wrong query or a wrong value"
	)
	return []Code{
		{3, "UNEXPECTED_END_OF_FILE", problem.Retry, unreached},
		{32, "ATTEMPT_TO_READ_AFTER_EOF", problem.Retry, unreached},
		{74, "CANNOT_READ_FROM_FILE_DESCRIPTOR", problem.Retry, busy},
		{75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR", problem.Retry, busy},
		{76, "CANNOT_OPEN_FILE", problem.Retry, busy},
		{95, "CANNOT_READ_FROM_SOCKET", problem.Retry, unreached},
		{96, "CANNOT_WRITE_TO_SOCKET", problem.Retry, unreached},
		{101, "UNEXPECTED_PACKET_FROM_CLIENT", problem.Retry, unreached},
		{159, "TIMEOUT_EXCEEDED", problem.Retry, stopped},
		{160, "TOO_SLOW", problem.Retry, busy},
		{173, "CANNOT_ALLOCATE_MEMORY", problem.Retry, busy},
		{198, "DNS_ERROR", problem.Retry, unreached},
		{201, "QUOTA_EXCEEDED", problem.Retry, busy},
		{202, "TOO_MANY_SIMULTANEOUS_QUERIES", problem.Retry, busy},
		{203, "NO_FREE_CONNECTION", problem.Retry, busy},
		{209, "SOCKET_TIMEOUT", problem.Retry, unreached},
		{210, "NETWORK_ERROR", problem.Retry, unreached},
		{225, "NO_ZOOKEEPER", problem.Retry, quorum},
		{236, "ABORTED", problem.Retry, stopped},
		{241, "MEMORY_LIMIT_EXCEEDED", problem.Retry, busy},
		{242, "TABLE_IS_READ_ONLY", problem.Retry, quorum},
		{243, "NOT_ENOUGH_SPACE", problem.Retry, busy},
		{252, "TOO_MANY_PARTS", problem.Retry, busy},
		{279, "ALL_CONNECTION_TRIES_FAILED", problem.Retry, unreached},
		{285, "TOO_FEW_LIVE_REPLICAS", problem.Retry, quorum},
		{286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", problem.Retry, quorum},
		{289, "REPLICA_IS_NOT_IN_QUORUM", problem.Retry, quorum},
		{319, "UNKNOWN_STATUS_OF_INSERT", problem.Retry, unreached},
		{394, "QUERY_WAS_CANCELLED", problem.Retry, stopped},
		{439, "CANNOT_SCHEDULE_TASK", problem.Retry, busy},
		{473, "DEADLOCK_AVOIDED", problem.Retry, busy},
		{735, "QUERY_WAS_CANCELLED_BY_CLIENT", problem.Retry, stopped},
		{999, "KEEPER_EXCEPTION", problem.Retry, quorum},

		{158, "TOO_MANY_ROWS", problem.Reject, greedy},
		{161, "TOO_MANY_COLUMNS", problem.Reject, greedy},
		{191, "SET_SIZE_LIMIT_EXCEEDED", problem.Reject, greedy},
		{307, "TOO_MANY_BYTES", problem.Reject, greedy},
		{396, "TOO_MANY_ROWS_OR_BYTES", problem.Reject, greedy},

		{164, "READONLY", problem.Stop, rights},
		{192, "UNKNOWN_USER", problem.Stop, rights},
		{193, "WRONG_PASSWORD", problem.Stop, rights},
		{452, "SETTING_CONSTRAINT_VIOLATION", problem.Stop, rights},
		{497, "ACCESS_DENIED", problem.Stop, rights},
		{516, "AUTHENTICATION_FAILED", problem.Stop, rights},

		{10, "NOT_FOUND_COLUMN_IN_BLOCK", problem.Stop, tables},
		{16, "NO_SUCH_COLUMN_IN_TABLE", problem.Stop, tables},
		{20, "NUMBER_OF_COLUMNS_DOESNT_MATCH", problem.Stop, tables},
		{47, "UNKNOWN_IDENTIFIER", problem.Stop, tables},
		{53, "TYPE_MISMATCH", problem.Stop, tables},
		{60, "UNKNOWN_TABLE", problem.Stop, tables},
		{81, "UNKNOWN_DATABASE", problem.Stop, tables},

		{27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", problem.Stop, program},
		{36, "BAD_ARGUMENTS", problem.Stop, program},
		{43, "ILLEGAL_TYPE_OF_ARGUMENT", problem.Stop, program},
		{46, "UNKNOWN_FUNCTION", problem.Stop, program},
		{48, "NOT_IMPLEMENTED", problem.Stop, program},
		{62, "SYNTAX_ERROR", problem.Stop, program},
		{115, "UNKNOWN_SETTING", problem.Stop, program},
		{117, "INCORRECT_DATA", problem.Stop, program},
	}
}
