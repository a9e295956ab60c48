package api

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v4"

	"github.com/throughline/throughline/schema/web"
)

func load(t *testing.T) *Document {
	t.Helper()
	d, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDocumentIsOneOfAllItsFiles(t *testing.T) {
	t.Parallel()
	entries, err := files.ReadDir("openapi")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(parts()) {
		t.Errorf("the folder has %d files, parts names %d", len(entries), len(parts()))
	}
	d := load(t)
	var ids []string
	for _, op := range d.Operations {
		if op.ID == "" || op.Summary == "" || len(op.Responses) == 0 {
			t.Errorf("%s %s is incomplete", op.Method, op.Path)
		}
		if slices.Contains(ids, op.ID) {
			t.Errorf("the operation id %s is there twice", op.ID)
		}
		if !slices.ContainsFunc(d.Tags, func(tag Tag) bool { return tag.Name == op.Tag }) {
			t.Errorf("%s has the tag %s, which is none", op.ID, op.Tag)
		}
		ids = append(ids, op.ID)
	}
}

func TestYAMLAndJSONSayTheSame(t *testing.T) {
	t.Parallel()
	d := load(t)
	for _, banned := range []string{" &", " *"} {
		if strings.Contains(string(d.YAML), ":"+banned) {
			t.Errorf("the document has an anchor or an alias, which many readers do not know")
		}
	}
	root, err := parse(d.YAML)
	if err != nil {
		t.Fatal(err)
	}
	again, err := node{yaml: root, root: root}.json()
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(d.JSON) {
		t.Error("the YAML does not read as the JSON")
	}
}

func TestJoinRefusesWhatIsThereTwice(t *testing.T) {
	t.Parallel()
	read := func(text string) *yaml.Node {
		n, err := parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	into := read("components: {schemas: {Id: {type: string}}}\npaths: {/a: {get: {}}}")
	for _, text := range []string{"paths: {/a: {put: {}}}", "components: {schemas: {Id: {type: string}}}"} {
		if err := join(into, read(text), ""); err == nil {
			t.Errorf("%s was joined", text)
		}
	}
	if err := join(into, read("components: {schemas: {Name: {type: string}}}\npaths: {/b: {get: {}}}"), ""); err != nil {
		t.Error(err)
	}
}

func TestPageShowsEveryOperationAndUsesNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	d := load(t)
	p, err := d.render()
	if err != nil {
		t.Fatal(err)
	}
	text := string(p.html)
	for _, op := range d.Operations {
		for _, want := range []string{`id="` + op.ID + `"`, `href="#` + op.ID + `"`} {
			if strings.Count(text, want) < 1 {
				t.Errorf("the page has no %s", want)
			}
		}
	}
	ids := regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(text, -1)
	known := map[string]bool{}
	for _, id := range ids {
		if known[id[1]] {
			t.Errorf("the anchor %s is there twice", id[1])
		}
		known[id[1]] = true
	}
	for _, link := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(text, -1) {
		if !known[link[1]] {
			t.Errorf("a link goes to #%s, which is not there", link[1])
		}
	}
	if found := regexp.MustCompile(`(?:src|href)="(?:https?:)?//[^"]*"`).FindString(text); found != "" {
		t.Errorf("the page refers to %s", found)
	}
	if strings.Contains(p.policy, "unsafe") || !strings.HasPrefix(p.policy, "default-src 'none'; ") {
		t.Errorf("the policy is %s", p.policy)
	}
	for _, part := range []string{pageStyle, pageScript} {
		if !strings.Contains(text, part) {
			t.Error("what the policy allows is not what the page has")
		}
	}
}

func TestCurlIsACommandToPaste(t *testing.T) {
	t.Parallel()
	d := load(t)
	i := slices.IndexFunc(d.Operations, func(o *Operation) bool { return o.ID == "putObject" })
	got := d.Operations[i].Examples()[0].Curl()
	for _, want := range []string{
		`curl -X PUT "$THROUGHLINE_URL/v1/objects/CUSTOMER/c19a7d78" \`, `-H "Authorization: Bearer $THROUGHLINE_KEY" \`, `--data-binary '{`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in\n%s", want, got)
		}
	}
	if got := quote("it's"); got != `'it'\''s'` {
		t.Errorf("got %s", got)
	}
}

func TestDocumentIsServedAndNotSentTwice(t *testing.T) {
	t.Parallel()
	router := web.NewRouter(web.Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	Serve(router)
	get := func(path, have string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		r.Header.Set("If-None-Match", have)
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		return w
	}
	for path, media := range map[string]string{
		YAMLPath: "application/yaml", JSONPath: "application/json", PagePath: "text/html; charset=utf-8",
	} {
		first := get(path, "")
		if first.Code != http.StatusOK || first.Header().Get("Content-Type") != media || first.Body.Len() < 10_000 {
			t.Errorf("%s: got %d %s, %d bytes", path, first.Code, first.Header().Get("Content-Type"), first.Body.Len())
		}
		for _, have := range []string{first.Header().Get("ETag"), `"x", W/` + first.Header().Get("ETag"), "*"} {
			if again := get(path, have); again.Code != http.StatusNotModified {
				t.Errorf("%s, having %s: got %d", path, have, again.Code)
			}
		}
		if again := get(path, `"other"`); again.Code != http.StatusOK {
			t.Errorf("%s, having another: got %d", path, again.Code)
		}
	}
}
