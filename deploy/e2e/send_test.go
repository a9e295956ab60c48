package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// lossy is a proxy that can keep answers from coming back: the server has done what it was asked, and the client never
// learns of it.
type lossy struct {
	*httptest.Server

	// answered are how many answers it lets through before it keeps all others; kept are those.
	answered, kept atomic.Int32
}

func newLossy(t *testing.T, target string, answered int32) *lossy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{}
	l.answered.Store(answered)
	l.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) },
		ModifyResponse: func(res *http.Response) error {
			if l.answered.Add(-1) >= 0 {
				return nil
			}
			l.kept.Add(1)
			<-res.Request.Context().Done()
			return res.Request.Context().Err()
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	t.Cleanup(l.Close)
	return l
}

func TestAnInputThatIsKilledOnItsWayIsSentOnceInOrder(t *testing.T) {
	t.Parallel()
	const events, objects = 20_000, 25
	a := dev(t, t.TempDir())
	dir := t.TempDir()
	write := func(name string, n int, line func(i int) string) {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i) + "\n")
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("customers.ndjson", objects, func(i int) string {
		return fmt.Sprintf(`{"objectType":"CUSTOMER","objectId":"c%d","name":"Customer %d"}`, i, i)
	})
	// Not one has an id, and one is of an object that is not there.
	write("events.ndjson", events+1, func(i int) string {
		object := fmt.Sprintf("c%d", i*i%objects)
		if i == 777 {
			object = "nobody"
		}
		return fmt.Sprintf(`{"objectType":"CUSTOMER","objectId":%q,"name":"%d"}`, object, i)
	})

	vars := []string{"THROUGHLINE_URL=" + a.url, "THROUGHLINE_API_KEY=" + a.key}
	if code := start(t, dir, vars, "send", "--objects", "customers.ndjson").wait(time.Minute); code != 0 {
		t.Fatalf("objects ended with code %d", code)
	}

	// Meanwhile somebody watches. On a busy machine events may be stored late.
	position := must(t, http.StatusOK, http.MethodPost, a.url+"/v1/events", a.key, eventJSON("c0", "before", "Before")).member(t, "position").(string)
	must(t, http.StatusOK, http.MethodGet, a.url+"/v1/event-log?position="+position, a.key, "")
	watcher := start(t, dir, vars, "tail", "--last", "1", "--late", "10m")
	eventually(t, time.Minute, "the event before", func() error {
		if !strings.Contains(watcher.out(), "(before)") {
			return errors.New("it is not printed yet")
		}
		return nil
	})

	proxy := newLossy(t, a.url, 3)
	vars[0] = "THROUGHLINE_URL=" + proxy.URL
	first := start(t, dir, vars, "send", "events.ndjson")
	eventually(t, time.Minute, "answers to be lost", func() error {
		if proxy.kept.Load() == 0 {
			return errors.New("none is yet")
		}
		return nil
	})
	first.kill()
	proxy.answered.Store(1 << 30)
	var noted struct{ Sent struct{ Line int } }
	data, err := os.ReadFile(filepath.Join(dir, "events.ndjson.throughline-progress"))
	if err != nil || json.Unmarshal(data, &noted) != nil || noted.Sent.Line >= events {
		t.Fatalf("noted is %s, %v", data, err)
	}

	second := start(t, dir, vars, "send", "events.ndjson")
	if code := second.wait(2 * time.Minute); code != 3 {
		t.Fatalf("ended with code %d, want 3 for the line that was refused", code)
	}
	if !strings.Contains(second.errors(), "20,000 events accepted, 1 refused, which are in events.ndjson.refused.ndjson") {
		t.Errorf("it says %s", second.errors())
	}
	data, err = os.ReadFile(filepath.Join(dir, "events.ndjson.refused.ndjson"))
	if err != nil || strings.Count(string(data), "\n") != 1 || !strings.HasPrefix(string(data), `{"line":778,"status":404,"title":"Object Not found"`) {
		t.Errorf("refused is %s, %v", data, err)
	}

	want := fmt.Sprintf("%d\t%d", events, events)
	eventually(t, time.Minute, "every event to be on its timeline once", func() error {
		if got := sql(t, a.sql, "SELECT count(), uniqExact(object_id, name) FROM timeline WHERE name != 'Before'"); got != want {
			return fmt.Errorf("there are %s", got)
		}
		return nil
	})
	// Another table, which its projector fills in its own time.
	eventually(t, time.Minute, "lines that were sent twice, without which nothing was tried here", func() error {
		if sql(t, a.sql, "SELECT count() FROM event_log WHERE status = 'DUPLICATE'") == "0" {
			return errors.New("there are none")
		}
		return nil
	})
	if mixed := sql(t, a.sql, "SELECT count() FROM (SELECT groupArray(toUInt32(name)) AS n FROM (SELECT * FROM timeline "+
		"WHERE name != 'Before' ORDER BY _partition, _offset) GROUP BY object_id HAVING n != arraySort(n))"); mixed != "0" {
		t.Errorf("the events of %s objects are out of order", mixed)
	}

	eventually(t, time.Minute, "every event to be printed", func() error {
		if n := strings.Count(watcher.out(), "\n"); n < events+1 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	watcher.interrupt()
	if code := watcher.wait(10 * time.Second); code != 0 {
		t.Errorf("the watcher ended with code %d", code)
	}
	seen := make(map[string]int)
	for line := range strings.Lines(watcher.out()) {
		seen[line[strings.LastIndex(line, "("):]]++
	}
	if n := strings.Count(watcher.out(), "\n"); n != events+1 || len(seen) != n {
		t.Errorf("%d events were printed, %d different ones, want %d", n, len(seen), events+1)
	}
}
