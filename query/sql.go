package query

import (
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// statement is one SELECT with its parameters. Values travel beside the text, as query parameters of the server, and
// are never part of it.
type statement struct {
	// name tells statements apart in metrics.
	name string
	text string
	args []any
	// rows bounds the result; 0 means maxResultRows.
	rows uint64
}

// clauses collects the conditions of a statement in the order in which they are added. The workspace is always the
// first: newClauses is the only way to begin, so no statement can forget it.
type clauses struct {
	where []string
	args  []any
}

func newClauses(workspace string) *clauses {
	c := &clauses{}
	c.equal("workspace", "ws", workspace)
	return c
}

// and adds a condition and the parameters that it names.
func (c *clauses) and(condition string, args ...any) {
	c.where = append(c.where, condition)
	c.args = append(c.args, args...)
}

func (c *clauses) equal(column, param, value string) {
	c.and(column+" = {"+param+":String}", clickhouse.Named(param, value))
}

// in adds nothing for an empty list: an absent filter lets everything through.
func (c *clauses) in(column, param string, values []string) {
	switch len(values) {
	case 0:
	case 1:
		c.equal(column, param, values[0])
	default:
		c.and(column+" IN {"+param+":Array(String)}", clickhouse.Named(param, values))
	}
}

// between adds the bounds that are set; from is inclusive, to is not.
func (c *clauses) between(column string, from, to time.Time) {
	if !from.IsZero() {
		c.and(column+" >= "+instant("from"), millis("from", from))
	}
	if !to.IsZero() {
		c.and(column+" < "+instant("to"), millis("to", to))
	}
}

// words adds that a row has all words of one of the searches.
func (c *clauses) words(searches [][]string) {
	if len(searches) == 0 {
		return
	}
	alternatives := make([]string, len(searches))
	var args []any
	for i, words := range searches {
		param := "words_" + string(rune('a'+i))
		alternatives[i] = "hasAllTokens(words, {" + param + ":Array(String)})"
		args = append(args, clickhouse.Named(param, words))
	}
	condition := strings.Join(alternatives, " OR ")
	if len(alternatives) > 1 {
		condition = "(" + condition + ")"
	}
	c.and(condition, args...)
}

// beyondEvent adds that a row comes after the one of the cursor, if there is one. The key of an event is its time, its
// id, and its primary object's type and id.
func (c *clauses) beyondEvent(order direction, after *cursor) {
	if after == nil {
		return
	}
	// The time stands alone as well: a comparison of tuples does not narrow the range that the key is searched in.
	c.and("occurred_at "+order.beyond()+"= "+instant("after_time"), millis("after_time", after.time()))
	c.and("(occurred_at, event_id, primary_type, primary_id) "+order.beyond()+
		" ("+instant("after_time")+", {after_id:String}, {after_type:String}, {after_object:String})",
		clickhouse.Named("after_id", after.Texts[0]),
		clickhouse.Named("after_type", after.Texts[1]),
		clickhouse.Named("after_object", after.Texts[2]))
}

// instant reads a parameter that holds milliseconds. A time as text would be read by the server's rules, where eight
// digits are a date and not an epoch; a number has one meaning.
func instant(param string) string {
	return "fromUnixTimestamp64Milli({" + param + ":Int64}, 'UTC')"
}

func millis(param string, t time.Time) any { return clickhouse.Named(param, t.UnixMilli()) }

// direction is an order of reading.
type direction bool

const (
	descending direction = false
	ascending  direction = true
)

func (d direction) keyword() string {
	if d == ascending {
		return "ASC"
	}
	return "DESC"
}

// beyond is the comparison that holds for rows that come after another in this direction.
func (d direction) beyond() string {
	if d == ascending {
		return ">"
	}
	return "<"
}

// orderBy names every column with its direction. The whole sorting key of the table must be named, the columns that
// conditions fix included: only then does the server read in the order of the key and stop after a page.
func (d direction) orderBy(columns ...string) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = c + " " + d.keyword()
	}
	return strings.Join(parts, ", ")
}

// selectFrom puts a statement together. order may be empty.
func selectFrom(name, columns, from string, c *clauses, tail string) statement {
	text := "SELECT " + columns + "\nFROM " + from + "\nWHERE " + strings.Join(c.where, "\n  AND ")
	if tail != "" {
		text += "\n" + tail
	}
	return statement{name: name, text: text, args: c.args}
}

func limitTo(rows int) string { return "LIMIT " + strconv.Itoa(rows) }
