package ingest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
)

// dial opens a plain connection to an edge.
func (e *edge) dial() net.Conn {
	e.t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(e.t.Context(), "tcp", strings.TrimPrefix(e.url, "http://"))
	check(e.t, err)
	e.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// trickle sends the head of a request and then its body, byte by byte, until the server answers. It returns the status.
func trickle(ctx context.Context, conn net.Conn, head string, begun *sync.WaitGroup) (int, error) {
	if _, err := io.WriteString(conn, head+"{"); err != nil {
		return 0, err
	}
	begun.Done()
	answered := make(chan int, 1)
	failed := make(chan error, 1)
	go func() {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			failed <- err
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _ = io.WriteString(conn, " ") // the server may have answered and closed meanwhile
		case status := <-answered:
			return status, nil
		case err := <-failed:
			return 0, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func TestSlowClientsKeepNobodyOutAndHoldNothing(t *testing.T) {
	t.Parallel()
	const slow = 200
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t, func(o *options) {
		o.cfg.MaxInFlight = 16 // far fewer than slow clients
	})
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, c1, key, `{}`)
	heads := []string{
		"POST /v1/events/batch HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 8000000\r\n\r\n",
		"POST /v1/events/batch HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Encoding: zstd\r\nContent-Length: 8000000\r\n\r\n",
		"POST /v1/events HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 30000\r\n\r\n",
		"PUT /v1/objects/CUSTOMER/c9 HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 30000\r\n\r\n",
	}
	before := heap()
	var begun, done sync.WaitGroup
	var stopped atomic.Int64
	begun.Add(slow)
	for i := range slow {
		conn := e.dial()
		done.Go(func() {
			status, err := trickle(t.Context(), conn, fmt.Sprintf(heads[i%len(heads)], key), &begun)
			if err != nil || status != http.StatusRequestTimeout {
				t.Errorf("slow client %d: answered %d, %v; want 408", i, status, err)
			}
			stopped.Add(1)
		})
	}
	begun.Wait()

	// Other clients are served meanwhile, large batches too.
	large := strings.Repeat(`{"objectType":"CUSTOMER","objectId":"c1","name":"n","description":"`+strings.Repeat("d", 3000)+`"}`+"\n", 300)
	for range 3 {
		e.must(http.StatusOK, http.MethodPost, "/v1/events", key, `{"objectType":"CUSTOMER","objectId":"c1","name":"n"}`)
		e.must(http.StatusOK, http.MethodPut, c1, key, `{}`)
	}
	if n := stopped.Load(); n > 0 {
		t.Logf("the machine is slow: %d clients were stopped before the others had been served", n)
	}
	// They have announced more than a gigabyte. Other tests run meanwhile.
	if grown := heap() - before; grown > 256<<20 {
		t.Errorf("%d slow clients made the heap grow by %d MiB", slow, grown>>20)
	}
	if got := e.must(http.StatusOK, http.MethodPost, eventsBatch, key, large, "Content-Type", ndjson).batch(t); got.Accepted != 300 {
		t.Errorf("accepted %d of 300; the first is %+v", got.Accepted, got.Results[0])
	}
	done.Wait()
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestARequestThatTakesTooLongIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t, func(o *options) {
		o.paused = true // the registry does not follow, and would be waited for for two seconds
		o.cfg.RequestTimeout = 300 * time.Millisecond
	})
	key := e.key("acme")
	ahead := l.edge(t)
	ahead.must(http.StatusOK, http.MethodPut, c1, ahead.key("acme"), `{}`)
	start := time.Now()
	for range 3 {
		p := e.must(http.StatusServiceUnavailable, http.MethodPost, "/v1/events", key, `{"objectType":"CUSTOMER","objectId":"c1","name":"n"}`).problem(t)
		if p.Type != problem.Unavailable || !strings.Contains(p.Detail, "nothing was done") {
			t.Errorf("problem is %s: %s", p.Type, p.Detail)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("three requests with a timeout of 300 ms took %s", took)
	}
}

func TestAClientThatDoesNotReadItsAnswersIsCutOff(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t, func(o *options) { o.cfg.RequestTimeout = time.Second })
	key := e.key("acme")
	conn := e.dial()
	// Each of these has an answer of half a megabyte: a problem for each line.
	body := strings.Repeat("x\n", event.MaxBatchItems)
	request := fmt.Sprintf("POST /v1/events/batch HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		key, ndjson, len(body), body)
	check(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	for {
		if _, err := io.WriteString(conn, request); err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				t.Error("the connection was still open after a minute")
			}
			return
		}
	}
}
