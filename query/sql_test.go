package query

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/object"
)

var update = flag.Bool("update", false, "write the golden files anew")

// statements are one of each shape that the service sends.
func statements() map[string]statement {
	after := &cursor{Millis: noon().UnixMilli(), Partition: 2, Offset: 7, Texts: []string{"e1", "CUSTOMER", "c1"}}
	place := &cursor{Millis: noon().UnixMilli(), Partition: 2, Offset: 7, Texts: []string{"e1", "t.events.v1"}}
	name := &cursor{Texts: []string{"Visited", "CUSTOMER"}}
	c1 := object.Ref{Type: object.Customer, ID: "c1"}
	rows := []eventLogRow{{eventID: "e1", receivedAt: noon()}, {eventID: "e2", receivedAt: noon().Add(-time.Second)}}
	return map[string]statement{
		"timeline": timelineQuery{workspace: "ws", object: c1, limit: 50}.statement(),
		"timeline_filtered": timelineQuery{
			workspace: "ws", object: c1, names: []string{"a", "b"}, sources: []string{"web"}, kind: []string{"event"},
			from: noon(), to: noon().Add(time.Hour), searches: [][]string{{"two", "words"}}, limit: 20,
		}.statement(),
		"timeline_after":           timelineQuery{workspace: "ws", object: c1, after: after, limit: 50}.statement(),
		"timeline_ascending_after": timelineQuery{workspace: "ws", object: c1, order: ascending, after: after, limit: 50}.statement(),
		"search":                   searchQuery{workspace: "ws", searches: [][]string{{"two", "words"}}}.statement(window{}, 51),
		"search_filtered_after": searchQuery{
			workspace: "ws", types: []string{"CUSTOMER", "USER"}, names: []string{"a"}, sources: []string{"web"},
			searches: [][]string{{"two", "words"}, {"other"}}, after: after,
		}.statement(window{noon(), noon().Add(time.Hour)}, 51),
		"object_names": namesOf("ws", []object.Ref{c1, {Type: object.Account, ID: "a1"}}),
		"event_log":    eventLogQuery{workspace: "ws"}.statement(51),
		"event_log_filtered_after": eventLogQuery{
			workspace: "ws", statuses: []string{"LINKED", "FAILED"}, types: []string{"CUSTOMER"}, ids: []string{"c1"},
			names: []string{"a", "b"}, from: noon(), to: noon().Add(time.Hour), after: place,
		}.statement(51),
		"event_log_entry":   submissionsOf("ws", "e1"),
		"event_log_settled": settledBySelf("ws", rows, []int{0, 1}),
		"event_log_newest":  newestOf("ws", rows, []int{0, 1}),
		"event_names":       eventNamesQuery{workspace: "ws", types: []string{"CUSTOMER"}, after: name, limit: 50}.statement(),
	}
}

func TestStatementsAreTheGoldenOnes(t *testing.T) {
	t.Parallel()
	for name, s := range statements() {
		file := filepath.Join("testdata", "sql", name+".sql")
		if *update {
			if err := os.WriteFile(file, []byte(s.text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), s.text+"\n"); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryStatementBeginsWithItsWorkspaceAndBindsWhatItNames(t *testing.T) {
	t.Parallel()
	placeholder := regexp.MustCompile(`\{([a-z_]+):`)
	for name, s := range statements() {
		_, conditions, _ := strings.Cut(s.text, "\nWHERE ")
		if !strings.HasPrefix(conditions, "workspace = {ws:String}") {
			t.Errorf("%s: the workspace is not the first condition: %s", name, conditions)
		}
		bound := make(map[string]bool)
		for _, a := range s.args {
			v, ok := a.(driver.NamedValue)
			if !ok || bound[v.Name] {
				t.Errorf("%s: argument %v is not named, or twice", name, a)
				continue
			}
			bound[v.Name] = true
		}
		named := make(map[string]bool)
		for _, m := range placeholder.FindAllStringSubmatch(s.text, -1) {
			named[m[1]] = true
		}
		if diff := cmp.Diff(named, bound); diff != "" {
			t.Errorf("%s: placeholders and arguments differ (-text +args):\n%s", name, diff)
		}
	}
}
