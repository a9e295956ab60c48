package docs

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// rules is what the tests read of a file of alert rules.
type rules struct {
	Groups []struct {
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

func alerts(t *testing.T) rules {
	t.Helper()
	var r rules
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join("..", "prometheus", "alerts.yaml"))), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// expressions are those of dashboards and alerts, by where they stand.
func expressions(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, group := range alerts(t).Groups {
		for _, r := range group.Rules {
			out["alert "+r.Alert] = append(out["alert "+r.Alert], r.Expr)
		}
	}
	paths, err := filepath.Glob(filepath.Join("..", "grafana", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no dashboard was found: %v", err)
	}
	for _, path := range paths {
		var board any
		if err := json.Unmarshal([]byte(read(t, path)), &board); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		walk(board, func(member, text string) {
			if member == "expr" || (member == "query" && strings.HasPrefix(text, "label_values(")) {
				out[path] = append(out[path], text)
			}
		})
	}
	return out
}

// walk calls found for every text of a JSON value, with the member that holds it.
func walk(v any, found func(member, text string)) {
	switch v := v.(type) {
	case map[string]any:
		for member, of := range v {
			if text, ok := of.(string); ok {
				found(member, text)
			}
			walk(of, found)
		}
	case []any:
		for _, of := range v {
			walk(of, found)
		}
	}
}

// What is no metric in an expression of PromQL: texts, matchers, ranges, the labels of a grouping, functions, and words.
var (
	notMetrics = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	names      = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
	numbers    = regexp.MustCompile(`\b[0-9][0-9a-zA-Z.]*`)
	variables  = regexp.MustCompile(`\$\{?\w+\}?`)
)

// metricsOf lists the metrics that an expression names.
func metricsOf(expr string) []string {
	expr = variables.ReplaceAllString(notMetrics.ReplaceAllString(expr, " "), " ")
	expr = numbers.ReplaceAllString(expr, " ")
	var found []string
	for _, name := range names.FindAllString(expr, -1) {
		if strings.HasSuffix(name, "(") || slices.Contains([]string{"and", "or", "unless", "bool", "offset", "inf"}, strings.TrimSpace(name)) {
			continue
		}
		found = append(found, strings.TrimSpace(name))
	}
	return found
}

func TestTheMetricsOfAnExpressionAreFound(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`up == 0`: "up",
		`sum by (le, job) (rate(a_bucket{job=~"$job", x="by (y)"}[$__rate_interval])) > bool 1.5e3`:    "a_bucket",
		`histogram_quantile(0.99, sum(rate(a_b:c[5m])) by (le)) / on (x) group_left (y) b_total`:       "a_b:c b_total",
		`(time() - min by (view) (c_seconds)) > 60 and d_total unless e offset 5m or absent(f{g="h"})`: "c_seconds d_total e f",
	} {
		if got := strings.Join(metricsOf(expr), " "); got != want {
			t.Errorf("%s: got %s, want %s", expr, got, want)
		}
	}
}

// namesExist fails the test where a dashboard or an alert names what nothing measures. Metrics of other programs are
// optional, and their names are not ours to check.
func namesExist(t *testing.T, known map[string]bool) {
	t.Helper()
	found := 0
	for where, exprs := range expressions(t) {
		for _, expr := range exprs {
			if of, ok := strings.CutPrefix(expr, "label_values("); ok {
				expr, _, _ = strings.Cut(of, ",")
			}
			for _, name := range metricsOf(expr) {
				found++
				if !known[name] && !strings.HasPrefix(name, "node_") {
					t.Errorf("%s names %s, which nothing measures: %s", where, name, expr)
				}
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d names were found: the files or this test have changed their form", found)
	}
}

func TestEveryAlertHasASeverityAndAnEntryInTheOperationsPage(t *testing.T) {
	t.Parallel()
	anchors := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(read(t, "operations.md"), -1) {
		anchors[anchor(heading[1])] = true
	}
	n := 0
	for _, group := range alerts(t).Groups {
		for _, r := range group.Rules {
			n++
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s has severity %q; page and ticket are known", r.Alert, s)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s does not say what it means", r.Alert)
			}
			page, at, _ := strings.Cut(r.Annotations["runbook_url"], "#")
			if !strings.HasSuffix(page, "deploy/docs/operations.md") || !anchors[at] {
				t.Errorf("%s sends people to %q, which is nowhere", r.Alert, r.Annotations["runbook_url"])
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d alerts were found", n)
	}
}

// anchor is what becomes of a heading in a link.
func anchor(heading string) string {
	plain := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(plain, " ", "-")
}

// Every test of the rules that promtool runs names an alert, and every alert has one.
func TestEveryAlertIsTested(t *testing.T) {
	t.Parallel()
	tests := read(t, filepath.Join("..", "prometheus", "alerts_test.yaml"))
	for _, group := range alerts(t).Groups {
		for _, r := range group.Rules {
			if !strings.Contains(tests, "alertname: "+r.Alert+"\n") {
				t.Errorf("%s has no test in alerts_test.yaml", r.Alert)
			}
		}
	}
}
