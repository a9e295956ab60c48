package e2e

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/schematest"
)

func TestServicesRunApartAgainstKafkaAndClickHouse(t *testing.T) {
	t.Parallel()
	db := schematest.ClickHouse(t)
	dir := t.TempDir()
	vars := []string{
		"KAFKA_BROKERS=" + strings.Join(schematest.Kafka(t), ","), "THROUGHLINE_PREFIX=" + strings.TrimSuffix(schematest.Prefix(t), "."),
		"CLICKHOUSE_ADDR=" + db.Addr, "CLICKHOUSE_DATABASE=" + db.Database, "CLICKHOUSE_USER=" + db.User,
		"CLICKHOUSE_PASSWORD=" + db.Password, "CLICKHOUSE_READ_USER=" + db.ReadUser, "CLICKHOUSE_READ_PASSWORD=" + db.ReadPassword,
		"THROUGHLINE_MASTER_KEY=" + strings.Repeat("0f", 32), "THROUGHLINE_REPLICATION=1", "THROUGHLINE_PARTITIONS=3",
		"THROUGHLINE_ADMIN_KEY=the-operators-own-key",
	}
	run := func(args ...string) string {
		t.Helper()
		p := start(t, dir, vars, args...)
		if code := p.wait(time.Minute); code != 0 {
			t.Fatalf("throughline %v ended with code %d: %s", args, code, p.errors())
		}
		return strings.TrimSpace(p.out())
	}
	for range 2 { // both may be repeated
		run("topics")
		run("migrate")
	}
	run("keys", "workspace", "shop", "--name", "Shop")
	key := run("keys", "create", "shop", "--scope", "events:write", "--scope", "objects:write", "--scope", "read")
	if listed := run("keys", "list", "shop"); !strings.Contains(listed, "events:write,objects:write,read") || strings.Contains(listed, key) {
		t.Errorf("got %s", listed)
	}

	service := func(name string) (*process, string, string) {
		listen, admin := freePort(t), freePort(t)
		p := start(t, dir, append([]string{"THROUGHLINE_LISTEN=" + listen, "THROUGHLINE_ADMIN_LISTEN=" + admin}, vars...), name)
		return p, "http://" + listen, "http://" + admin
	}
	edge, write, edgeAdmin := service("ingest")
	projector, _, projectorAdmin := service("projector")
	reader, read, readerAdmin := service("query")
	for admin, p := range map[string]*process{edgeAdmin: edge, projectorAdmin: projector, readerAdmin: reader} {
		eventually(t, startWithin, admin+" to be ready", func() error {
			p.running()
			got, err := send(t.Context(), http.MethodGet, admin+"/readyz", "", "")
			if err != nil || got.status != http.StatusOK {
				return errors.Join(err, errors.New(string(got.body)))
			}
			return nil
		})
		if got := must(t, http.StatusOK, http.MethodGet, admin+"/metrics", "", ""); !strings.Contains(string(got.body), "throughline_build_info") {
			t.Errorf("%s has no metrics of ours", admin)
		}
	}

	must(t, http.StatusOK, http.MethodPut, write+"/v1/objects/CUSTOMER/c1", key, `{"name":"Ann"}`)
	position := must(t, http.StatusOK, http.MethodPost, write+"/v1/events", key, eventJSON("c1", "e1", "Bought")).member(t, "position").(string)
	got := must(t, http.StatusOK, http.MethodGet, read+"/v1/timeline/CUSTOMER/c1?position="+position, key, "")
	if !strings.Contains(string(got.body), `"Bought"`) || !strings.Contains(string(got.body), `"Ann"`) {
		t.Errorf("got %s", got.body)
	}
	must(t, http.StatusOK, http.MethodGet, write+"/v1/workspaces/shop", "the-operators-own-key", "")

	for _, p := range []*process{edge, projector, reader} {
		p.interrupt()
	}
	for _, p := range []*process{edge, projector, reader} {
		if code := p.wait(20 * time.Second); code != 0 {
			t.Errorf("%v ended with code %d", p.cmd.Args, code)
		}
	}
}
