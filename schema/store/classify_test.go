package store

import (
	"fmt"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"github.com/throughline/throughline/schema/problem"
)

func TestAServersCodeDecidesAndAShardsFirst(t *testing.T) {
	t.Parallel()
	inner := clickhouse.Exception{Code: 252, Name: "TOO_MANY_PARTS"}
	unknown := clickhouse.Exception{Code: 1001, Name: "STD_EXCEPTION"}
	for name, tc := range map[string]struct {
		err  clickhouse.Exception
		want Class
	}{
		"only the outer":              {clickhouse.Exception{Code: 60}, problem.Stop},
		"an inner one":                {clickhouse.Exception{Code: 60, Nested: []clickhouse.Exception{inner}}, problem.Retry},
		"an inner one nobody classed": {clickhouse.Exception{Code: 252, Nested: []clickhouse.Exception{unknown}}, problem.Retry},
		"one nobody classed":          {unknown, problem.Stop},
		// Not tried on the tests' server: the embedded engine dies of a login
		// that fails, and every test shares it.
		"a wrong password": {clickhouse.Exception{Code: 516}, problem.Stop},
	} {
		if got := Classify(fmt.Errorf("insert: %w", &tc.err)); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestServersThatAreTooOldAreRefused(t *testing.T) {
	t.Parallel()
	for version, ok := range map[proto.Version]bool{
		{Major: 25, Minor: 12}: false, {Major: 26, Minor: 1}: false,
		{Major: 26, Minor: 2}: true, {Major: 27, Minor: 1}: true,
	} {
		if err := supported(version); (err == nil) != ok {
			t.Errorf("%d.%d: %v", version.Major, version.Minor, err)
		}
	}
}
