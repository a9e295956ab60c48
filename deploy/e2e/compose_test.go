package e2e

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throughline/throughline/deploy/docker"
)

// Bounds of Compose. Images may have to be built first, and seven containers start on a machine that is busy.
const (
	imagesWithin  = 15 * time.Minute
	composeWithin = 5 * time.Minute
)

// project is the repository's compose.yaml under a name of its own, with an address and secrets of its own.
type project struct {
	t       *testing.T
	command []string
	env     []string
	url     string
}

// newProject brings everything up, and takes it down with its volumes when the test ends.
func newProject(t *testing.T) *project {
	t.Helper()
	p := &project{t: t, command: composeCommand(t)}
	ctx, cancel := context.WithTimeout(t.Context(), imagesWithin)
	defer cancel()
	images, err := docker.Ensure(ctx, nil, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	listen := freePort(t)
	p.url = "http://" + listen
	p.env = append(append(os.Environ(), images...),
		"COMPOSE_PROJECT_NAME=throughline-test-"+strings.ToLower(rand.Text()[:8]),
		"THROUGHLINE_PUBLISH="+listen, "THROUGHLINE_PARTITIONS=3", "THROUGHLINE_LOG_LEVEL=warn",
		"THROUGHLINE_MASTER_KEY="+secret(), "THROUGHLINE_ADMIN_KEY="+secret(),
		"CLICKHOUSE_WRITE_PASSWORD="+secret(), "CLICKHOUSE_READ_PASSWORD="+secret())
	t.Cleanup(func() {
		if t.Failed() {
			log, err := p.run(context.WithoutCancel(t.Context()), "logs", "--no-color", "--tail", "40")
			t.Logf("%v\n%s", err, log)
		}
		if _, err := p.run(context.WithoutCancel(t.Context()), "down", "--volumes", "--timeout", "5"); err != nil {
			t.Errorf("take down: %v", err)
		}
	})
	p.must("up", "--detach")
	eventually(t, startWithin, "the proxy to answer", func() error { return p.answers("/readyz", "") })
	return p
}

// composeCommand is version 2 of Compose, or else the docker-compose of before.
func composeCommand(t *testing.T) []string {
	t.Helper()
	if exec.Command("docker", "compose", "version").Run() == nil {
		return []string{"docker", "compose"}
	}
	if _, err := exec.LookPath("docker-compose"); err != nil {
		t.Fatalf("containers are wanted (SERVERS=docker) and there is no Compose: %v", err)
	}
	return []string{"docker-compose"}
}

func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// run runs a command of Compose and returns what it prints.
func (p *project) run(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, composeWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.command[0], append(p.command[1:], args...)...)
	cmd.Dir, cmd.Env = "../..", p.env
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("compose %v: %w: %s", args, err, tail(complaint.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// must is run with a command that must succeed.
func (p *project) must(args ...string) string {
	p.t.Helper()
	out, err := p.run(p.t.Context(), args...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// answers is an error unless a GET is answered with 200.
func (p *project) answers(path, key string) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	got, err := send(ctx, http.MethodGet, p.url+path, key, "")
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("%d %s", got.status, got.body)
	}
	return err
}

func TestContainersThatAreKilledLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	if os.Getenv("SERVERS") != "docker" {
		t.Skip("containers are for SERVERS=docker")
	}
	p := newProject(t)
	p.must("exec", "-T", "ingest", "/throughline", "keys", "workspace", "shop")
	key := p.must("exec", "-T", "ingest", "/throughline", "keys", "create", "shop")
	eventually(t, time.Minute, "the key to be known", func() error { return p.answers("/v1/event-log?limit=1", key) })
	for c := range customers {
		must(t, http.StatusOK, http.MethodPut, fmt.Sprintf("%s/v1/objects/CUSTOMER/c%d", p.url, c), key, `{}`)
	}

	demo := start(t, t.TempDir(), nil, "demo", "--url", p.url, "--key", key)
	if code := demo.wait(composeWithin); code != 0 || !strings.Contains(demo.out(), ": 5,320 accepted") {
		t.Errorf("the demo through the proxy ended with %d:\n%s", code, demo.out())
	}

	events := number(t, "EVENTS", 1000)
	var acknowledged, repeated atomic.Int64
	clients := postAll(t, p.url, key, events, &acknowledged, &repeated)
	parts := []string{"kafka", "clickhouse", "ingest", "projector", "dispatcher"}
	for i, part := range parts {
		reached(t, &acknowledged, int64(events)*int64(i+1)/int64(len(parts)+1))
		p.must("kill", "-s", "SIGKILL", part)
		p.must("start", part)
	}
	if err := clients(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events acknowledged, %d requests repeated, %d kills", acknowledged.Load(), repeated.Load(), len(parts))

	eventually(t, startWithin, "reads to be answered", func() error { return p.answers("/v1/event-log?limit=1", key) })
	eventually(t, 2*time.Minute, "every event to be on its timeline", func() error {
		if n := len(onTimelines(t, p.url, key)); n != events {
			return fmt.Errorf("%d of %d are", n, events)
		}
		return nil
	})
	once(t, onTimelines(t, p.url, key), events)
	eventually(t, startWithin, "webhooks to be answered", func() error { return p.answers("/v1/webhook-endpoints", key) })
	for _, path := range []string{"/metrics", "/v1/event-log?limit=1"} {
		if err := p.answers(path, ""); err == nil {
			t.Errorf("%s is anybody's to read", path)
		}
	}
}
