// Command images makes sure that the Docker engine has the container images that compose.yaml and the tests use, and
// prints an assignment for each, such as KAFKA_IMAGE=apache/kafka:4.4.0. It pulls those of Kafka and ClickHouse, or
// builds them where they cannot be pulled. Arguments are the images to look at, of kafka, clickhouse and throughline;
// none means all.
//
// It exits with 0 when all are there, 1 where that cannot be done, and 3 where no Docker engine answers.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/throughline/throughline/deploy/docker"
	"github.com/throughline/throughline/schema/run"
)

// exitNoEngine is for scripts that can do without containers.
const exitNoEngine = 3

func main() {
	var failure error
	code := run.Main(os.Stderr, func(ctx context.Context) error {
		var assignments []string
		if assignments, failure = docker.Ensure(ctx, os.Args[1:], os.Stderr); failure != nil {
			return failure
		}
		_, failure = fmt.Println(strings.Join(assignments, "\n"))
		return failure
	})
	if errors.Is(failure, docker.ErrNoEngine) {
		code = exitNoEngine
	}
	os.Exit(code)
}
