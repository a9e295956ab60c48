package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/conversation"
)

// TestStepsComeInOrderThoughSomeAreRefusedForAWhile has an edge that has no room for every third item, answers every
// fifth that it is not decided yet, and takes all of them in the end.
func TestStepsComeInOrderThoughSomeAreRefusedForAWhile(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	n := 0
	e.item = func(step) int {
		n++
		switch {
		case n%3 == 0:
			return http.StatusServiceUnavailable
		case n%5 == 0:
			return http.StatusAccepted
		default:
			return 0
		}
	}
	const calls = 300
	var out bytes.Buffer
	var positions atomic.Int64
	totals, err := Calls(t.Context(), callsOf(calls), e.config(), Deps{Progress: &out, Position: func(string) { positions.Add(1) }})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if diff := cmp.Diff(Totals{Conversations: calls, Accepted: 4 * calls}, totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	if len(e.steps) != calls || positions.Load() == 0 {
		t.Errorf("%d conversations and %d positions", len(e.steps), positions.Load())
	}
	for id, steps := range e.steps {
		var types []conversation.Type
		for _, s := range steps {
			types = append(types, s.Type)
		}
		want := []conversation.Type{conversation.Opened, conversation.Queued, conversation.Responded, conversation.Closed}
		if diff := cmp.Diff(want, types); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	// Two agents and seven customers, agents first.
	if len(e.objects) != 9 || e.objects[0].ObjectID != "DORIT" || e.objects[0].Name != "Dorit" || e.objects[2].ExternalID != "bank-1" {
		t.Errorf("objects are %+v", e.objects)
	}
	if !strings.Contains(out.String(), "1,200 accepted") {
		t.Errorf("it says %s", out.String())
	}
	again, err := Calls(t.Context(), callsOf(calls), e.config(), Deps{Progress: io.Discard})
	if err != nil || again.Accepted != 4*calls || again.Known == 0 || again.Refused > 0 {
		t.Errorf("the second time: %+v, %v", again, err)
	}
}

func TestWhatIsRefusedIsToldAndEndsItsConversationAlone(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.item = func(s step) int {
		if s.ConversationID == "990201-AA0101-3" && s.Type == conversation.Queued {
			return http.StatusConflict
		}
		return 0
	}
	var out bytes.Buffer
	totals, err := Calls(t.Context(), callsOf(20), e.config(), Deps{Progress: &out})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Totals{Conversations: 20, Accepted: 77, Refused: 1, Skipped: 2}, totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	if !strings.Contains(out.String(), "refused: conversation 990201-AA0101-3, queued: 409 said no") {
		t.Errorf("it says %s", out.String())
	}
}

func TestACallIsToldAsTheAPIReadsIt(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	cfg := e.config()
	cfg.Objects = false
	calls := callsOf(1)
	calls = append(calls, Call{ID: "990201-AA0101-9", Service: "IN", Outcome: "HANG", Opened: at("09:00:00"), Closed: at("09:00:04")})
	if _, err := Calls(t.Context(), calls, cfg, Deps{Progress: io.Discard}); err != nil {
		t.Fatal(err)
	}
	ref := func(id string) *conversation.Reference { return &conversation.Reference{ID: id} }
	want := map[string][]step{
		"990201-AA0101-0": {
			{ConversationID: "990201-AA0101-0", Type: "opened", ID: "opened", OccurredAt: at("08:00:00"), Team: "PS", Channel: "phone", Customer: ref("1")},
			{ConversationID: "990201-AA0101-0", Type: "queued", ID: "queued", OccurredAt: at("08:00:05")},
			{ConversationID: "990201-AA0101-0", Type: "responded", ID: "responded", OccurredAt: at("08:01:05"), Agent: ref("TOVA")},
			{ConversationID: "990201-AA0101-0", Type: "closed", ID: "closed", OccurredAt: at("08:03:00")},
		},
		"990201-AA0101-9": {
			{ConversationID: "990201-AA0101-9", Type: "opened", ID: "opened", OccurredAt: at("09:00:00"), Team: "IN", Channel: "phone"},
			{ConversationID: "990201-AA0101-9", Type: "closed", ID: "closed", OccurredAt: at("09:00:04")},
		},
	}
	if diff := cmp.Diff(want, e.steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if len(e.objects) != 0 {
		t.Errorf("objects were written: %+v", e.objects)
	}
}

// rows are a header and two calls.
const rows = header +
	"AA0101\t34536\t0\t0\tPS\t990201\t7:02:47\t7:02:56\t9\t0:00:00\t0:00:00\t0\tAGENT\t7:02:55\t7:05:41\t166\tDORIT\r\n\n" +
	"AA0101\t34540\t48178511\t2\tPS\t990202\t8:19:42\t8:19:47\t5\t8:19:47\t8:20:21\t34\tAGENT\t8:20:25\t8:22:04\t99\tMICHAL\n"

func TestTracesAreReadPlainGzippedAndFromAPipe(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte(rows))
	check(t, errors.Join(err, z.Close()))
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, data, 0o600))
		return path
	}
	plain, zipped := write("calls.tsv", []byte(rows)), write("calls.of.any.name", packed.Bytes())
	want := []string{"990201-AA0101-34536", "990202-AA0101-34540"}
	for _, name := range []string{plain, zipped, Stdin} {
		calls, err := readFiles([]string{name}, strings.NewReader(rows), time.UTC)
		if err != nil || len(calls) != 2 || calls[0].ID != want[0] || calls[1].ID != want[1] {
			t.Errorf("%s: %+v, %v", name, calls, err)
		}
	}
	for name, test := range map[string]struct {
		files []string
		stdin string
		want  string
	}{
		"the same call in two files": {[]string{plain, zipped}, "", "call 990201-AA0101-34536 stands in " + plain + " already"},
		"nothing":                    {[]string{Stdin}, header, "no calls"},
		"no header":                  {[]string{Stdin}, rows[len(header):], "line 1 is not the header"},
		"something else":             {[]string{Stdin}, "{}\n", "line 1 has 1 fields, not 17"},
		"no file":                    {[]string{filepath.Join(dir, "none")}, "", "no such file"},
		"half a file":                {[]string{write("half.gz", packed.Bytes()[:packed.Len()-9])}, "", "unexpected EOF"},
		"an endless line":            {[]string{Stdin}, header + strings.Repeat("x", 1<<17), "line 2"},
	} {
		if _, err := readFiles(test.files, strings.NewReader(test.stdin), time.UTC); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func TestWhatIsConfiguredWrongIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	cfg := Config{Files: []string{"a", "a"}, URL: "x", Speed: -1, TimeZone: "Mars", Parallel: 17}
	_, err := Run(t.Context(), cfg, Deps{Progress: io.Discard})
	for _, want := range []string{"a is named twice", `"x" is not an address`, "API key is required", "--speed is -1", `"Mars"`, "--parallel is 17", "--give-up-after is 0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, which lacks %q", err, want)
		}
	}
}

func TestAnInterruptedRunSaysThatItCanGoOn(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	ctx, interrupt := context.WithCancel(t.Context())
	e.item = func(s step) int {
		if s.Type == conversation.Queued {
			interrupt()
			return http.StatusServiceUnavailable
		}
		return 0
	}
	totals, err := Calls(ctx, callsOf(10), e.config(), Deps{Progress: io.Discard})
	if !errors.Is(err, errInterrupted) || totals.Accepted == 0 || totals.Accepted == 40 {
		t.Errorf("%+v, %v", totals, err)
	}
}
