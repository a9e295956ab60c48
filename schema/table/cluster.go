package table

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Cluster writes migrations for several servers of ClickHouse. Every table becomes two: NAME_local, replicated, on each
// server, and NAME, which is Distributed over them and which everybody reads and writes. So no statement of a service
// differs between one server and many.
type Cluster struct {
	// Name is that of the cluster in the servers' configuration, where each shard has internal_replication.
	Name string
	// Database holds the tables on every server.
	Database string
}

// localSuffix ends the name of the table that holds a server's rows.
const localSuffix = "_local"

// shardingKey says on which shard a row of a table is: always the same one, because a batch that is made again must come
// to the shards as it did before, and all states of an object must meet where they replace each other.
func shardingKey(table string) (string, bool) {
	switch table {
	case Timeline, Objects:
		// An object's timeline is read from one shard.
		return "cityHash64(workspace, object_type, object_id)", true
	case Transitions, Conversations:
		// A conversation is read from one shard; a report from all of them.
		return "cityHash64(workspace, conversation_id)", true
	case WebhookAttempts:
		// The deliveries of an endpoint are read from one shard.
		return "cityHash64(workspace, endpoint_id)", true
	case EventLog:
		// It is read by workspace and time, from all shards. A batch goes to one of them, and is then in the table whole
		// or not at all.
		return "cityHash64(_topic, _partition)", true
	default:
		return "", false
	}
}

var (
	leading = regexp.MustCompile(`(?m)^\s*--.*\n`)
	create  = regexp.MustCompile(`(?s)^CREATE TABLE IF NOT EXISTS ([a-z0-9_]+)\s*\((.*)\)\s*ENGINE = ([A-Za-z]*MergeTree)(?:\(([^)]*)\))?(.*)$`)
	alter   = regexp.MustCompile(`(?s)^ALTER TABLE ([a-z0-9_]+)\s+(.*)$`)
	drop    = regexp.MustCompile(`^DROP TABLE IF EXISTS ([a-z0-9_]+)$`)
	columns = regexp.MustCompile(`(?i)^(ADD|DROP|MODIFY|RENAME|COMMENT) COLUMN\b`)
	window  = regexp.MustCompile(`\bnon_replicated_deduplication_window = (\d+)`)
)

// tokenSeconds is how long a shard remembers the tokens of inserts, within their number: a week, where the server's default
// is an hour. A projector that comes back after a long weekend finds them.
const tokenSeconds = 7 * 24 * 60 * 60

// ErrForm says that a migration has a form that nobody has said the meaning of on a cluster.
var ErrForm = errors.New("statement cannot be written for a cluster")

// Render writes the statement of a migration as those that a cluster needs, in their order. It is a pure function, and a
// statement of a form that it does not know is an ErrForm, never a guess.
func (c Cluster) Render(statement string) ([]string, error) {
	text := strings.TrimSpace(leading.ReplaceAllString(statement+"\n", ""))
	if m := create.FindStringSubmatch(text); m != nil {
		return c.create(m[1], m[2], m[3], m[4], m[5])
	}
	if m := alter.FindStringSubmatch(text); m != nil {
		return c.alter(m[1], m[2])
	}
	if m := drop.FindStringSubmatch(text); m != nil {
		// SYNC, or the path of the replicas would still be taken when a table of the name is made again.
		return []string{
			"DROP TABLE IF EXISTS " + m[1] + c.on() + " SYNC",
			"DROP TABLE IF EXISTS " + m[1] + localSuffix + c.on() + " SYNC",
		}, nil
	}
	first, _, _ := strings.Cut(text, "\n")
	return nil, fmt.Errorf("%w: %s", ErrForm, first)
}

func (c Cluster) on() string { return " ON CLUSTER '" + c.Name + "'" }

// create gives the replicated table and, over it, the distributed one.
func (c Cluster) create(name, body, engine, arguments, rest string) ([]string, error) {
	key, ok := shardingKey(name)
	if !ok {
		return nil, fmt.Errorf("%w: table %s has no sharding key", ErrForm, name)
	}
	if !window.MatchString(rest) {
		return nil, fmt.Errorf("%w: table %s remembers no tokens of inserts", ErrForm, name)
	}
	if arguments != "" {
		arguments = ", " + arguments
	}
	rest = window.ReplaceAllString(rest, fmt.Sprintf(
		"replicated_deduplication_window = $1, replicated_deduplication_window_seconds = %d", tokenSeconds))
	local := name + localSuffix
	return []string{
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s%s\n(%s)\nENGINE = Replicated%s('/clickhouse/tables/{shard}/%s/%s', '{replica}'%s)%s",
			local, c.on(), body, engine, c.Database, local, arguments, rest),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s%s AS %s.%s\nENGINE = Distributed('%s', '%s', '%s', %s)",
			name, c.on(), c.Database, local, c.Name, c.Database, local, key),
	}, nil
}

// alter changes the local table. Columns are the distributed one's too: it has a new column after the local table, and
// loses one before it, so that no statement names what is not there.
func (c Cluster) alter(name, actions string) ([]string, error) {
	if _, ok := shardingKey(name); !ok {
		return nil, fmt.Errorf("%w: table %s has no sharding key", ErrForm, name)
	}
	local := "ALTER TABLE " + name + localSuffix + c.on() + " " + actions
	outer := "ALTER TABLE " + name + c.on() + " " + actions
	kind := columns.FindStringSubmatch(actions)
	switch {
	case kind == nil:
		return []string{local}, nil // an index, a setting, a TTL: matters of storage
	case strings.EqualFold(kind[1], "DROP"), strings.EqualFold(kind[1], "RENAME"):
		return []string{outer, local}, nil
	default:
		return []string{local, outer}, nil
	}
}
