# Every task of this repository. `make` alone lists them.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

MODULES := schema ingest projector query dispatcher deploy

# One version for everybody: a linter that differs by machine is no rule.
LINT_VERSION := 2.15.0
LINT         := $(CURDIR)/bin/tools/golangci-lint-$(LINT_VERSION)

# The race detector needs a C compiler. `make test RACE=` leaves it out.
RACE ?= $(if $(shell command -v gcc || command -v clang),-race)

# One package at a time: each starts servers of its own, and they would share
# the few processors of a small machine. `make test TOGETHER=` lifts that.
TOGETHER ?= -p 1

# Arguments for the tests, such as `make test ARGS='-run Timeline -v'`.
ARGS ?=

.PHONY: help
help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the program: bin/throughline
	@mkdir -p bin
	go build -o bin/throughline ./deploy/cmd/throughline

.PHONY: run
run: build ## Start everything on this machine, with its data in .throughline/
	bin/throughline dev

.PHONY: demo
demo: build ## Post a day of real calls to a system of its own; show a timeline, a report and the wallboard
	bin/throughline demo

# Everything on this machine in containers; the data stays in volumes. Compose 2,
# or else the docker-compose of before. Its secrets are made once and kept.
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
export COMPOSE_PROJECT_NAME ?= throughline

.PHONY: up
up: .env ## Start every service in a container of its own, with Kafka and ClickHouse (Docker)
	images=$$(go run ./deploy/cmd/images) && env $$images $(COMPOSE) up --detach
	@echo "Throughline is at http://$${THROUGHLINE_PUBLISH:-127.0.0.1:8080}. Make a workspace and a key for it:"
	@echo "  $(COMPOSE) -p $(COMPOSE_PROJECT_NAME) exec ingest /throughline keys workspace default"
	@echo "  $(COMPOSE) -p $(COMPOSE_PROJECT_NAME) exec ingest /throughline keys create default"

.PHONY: down
down: .env ## Stop what make up started (ARGS=--volumes removes its data)
	$(COMPOSE) down $(ARGS)

.env:
	@umask 077 && for name in THROUGHLINE_MASTER_KEY THROUGHLINE_ADMIN_KEY CLICKHOUSE_WRITE_PASSWORD CLICKHOUSE_READ_PASSWORD; do \
		echo "$$name=$$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"; \
	done >$@.next && mv $@.next $@
	@echo "made new secrets in .env; keep a copy: without the master key nothing personal can be read"

.PHONY: images
images: ## Pull or build the container images, and print their names
	@go run ./deploy/cmd/images $(ARGS)

.PHONY: test
test: test-embedded test-trace test-servers ## Run all tests that this machine can run, and say what is left out

# The first pass runs every package. Servers: franz-go's in-process broker and
# the embedded ClickHouse.
.PHONY: test-embedded
test-embedded: ## Run all tests with the embedded servers
	@[ -n "$(RACE)" ] || echo "left out: the race detector (no C compiler, or RACE is empty)"
	SERVERS=embedded go test -timeout 20m $(TOGETHER) $(RACE) $(ARGS) work

# Both passes have the race detector, with which this takes many minutes.
.PHONY: test-trace
test-trace: ## Post all fourteen days of calls through the API, and compare every figure of every day
	SERVERS=embedded go test -count=1 -timeout 20m -v -run TestTheTracePostedThroughTheAPIGivesTheKnownAnswers $(ARGS) ./deploy/demo

# The second pass runs the packages that ask for servers once more, now with
# Apache Kafka: it fences, times out and rebalances as the in-process broker
# does not. Never cached, because the servers are no input that Go knows of.
SERVER_PACKAGES = $(shell go list -f '{{$$p := .ImportPath}}{{range .TestImports}}{{println $$p .}}{{end}}{{range .XTestImports}}{{println $$p .}}{{end}}' work \
	| awk '$$2 ~ /\/schema\/schematest$$/ { print $$1 }' | sort -u)
TEST_SERVERS    = go test -count=1 -timeout 20m $(TOGETHER) $(RACE) $(ARGS) $(SERVER_PACKAGES)

.PHONY: test-servers
test-servers: ## Run the tests that use servers with containers, or without where no Docker engine answers
	@if docker version >/dev/null 2>&1; then $(MAKE) test-docker; else \
		echo "left out: the tests in containers (no Docker engine answers); the same tests run without containers"; \
		$(MAKE) test-native; \
	fi

.PHONY: test-docker
test-docker: ## Run the tests that use servers with Kafka and ClickHouse in containers (Docker)
	@images=$$(go run ./deploy/cmd/images) && export $$images && \
	echo "SERVERS=docker $(TEST_SERVERS)" && SERVERS=docker $(TEST_SERVERS)

.PHONY: test-native
test-native: ## Run the tests that use servers with Apache Kafka (Java, Maven)
	@missing=""; \
	if [ -z "$${KAFKA_BROKERS:-}" ]; then \
		for tool in java mvn; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	fi; \
	if [ -n "$$missing" ]; then \
		echo "left out: the tests with Apache Kafka (not found:$$missing)"; \
		if [ "$${INTEGRATION:-}" = required ]; then \
			echo "INTEGRATION=required: that is a failure"; exit 1; \
		fi; \
		exit 0; \
	fi; \
	echo "SERVERS=native $(TEST_SERVERS)"; \
	SERVERS=native $(TEST_SERVERS)

# A minute of it is among the tests with Apache Kafka. SEED is printed by every
# run, and makes the same plan again.
DURATION ?= 1m
SEED     ?= 1

.PHONY: test-faults
test-faults: ## Kill, pause and cut off everything at random while clients post, then count (DURATION=10m SEED=7)
	FAULTS_DURATION=$(DURATION) FAULTS_SEED=$(SEED) INTEGRATION=required go test -count=1 -timeout 2h -v -run TestNothingIsLost $(ARGS) ./deploy/faults

# Requests are made of the API's document, good and bad ones; the seed is fixed.
.PHONY: test-api
test-api: build ## Test the API against its document with Schemathesis: some minutes (Python)
	deploy/contract/schemathesis/run $(ARGS)

.PHONY: bench
bench: ## Measure everything beside its limits, on Apache Kafka: 25 minutes (ARGS=--quick: five; SIZE=100000000)
	@mkdir -p bin
	go build -o bin/bench ./deploy/cmd/bench
	bin/bench all --json bin/bench.json $(ARGS)

.PHONY: bench-conversations
bench-conversations: ## Measure transitions of conversations beside bare transactions, on Apache Kafka (ARGS=--help)
	@mkdir -p bin
	go build -o bin/bench ./deploy/cmd/bench
	bin/bench conversations $(ARGS)

.PHONY: bench-go
bench-go: ## Run the Go benchmarks
	go test -run '^$$' -bench . -benchmem $(ARGS) work

.PHONY: bench-ingest
bench-ingest: ## Measure the edge beside its limits, on Apache Kafka: three minutes (ARGS=--help)
	@mkdir -p bin
	go build -o bin/bench ./deploy/cmd/bench
	bin/bench $(ARGS)

.PHONY: bench-registry
bench-registry: ## Measure a registry of a million objects, on Apache Kafka (ARGS='--objects 10_000_000'; ARGS=--help)
	@mkdir -p bin
	go build -o bin/bench ./deploy/cmd/bench
	bin/bench registry $(ARGS)

.PHONY: bench-link-reload
bench-link-reload: ## Measure how a linker comes back with a large window, on Apache Kafka (ARGS=--help)
	@mkdir -p bin
	go build -o bin/bench ./deploy/cmd/bench
	bin/bench link-reload $(ARGS)

.PHONY: bench-projector
bench-projector: ## Measure the projector beside inserts of the same rows, on Apache Kafka: three minutes (ARGS=--help)
	@mkdir -p bin
	go build -o bin/bench ./deploy/cmd/bench
	bin/bench projector $(ARGS)

.PHONY: bench-webhooks
bench-webhooks: ## Measure webhooks beside a bare client and among sick endpoints, on Apache Kafka: five minutes (ARGS=--help)
	@mkdir -p bin
	go build -o bin/bench ./deploy/cmd/bench
	bin/bench webhooks $(ARGS)

.PHONY: lint
lint: $(LINT) ## Check the code against the rules in .golangci.yaml
	@for module in $(MODULES); do \
		if [ -z "$$(cd $$module && go list ./... 2>/dev/null)" ]; then continue; fi; \
		echo "lint $$module"; (cd $$module && $(LINT) run --allow-parallel-runners ./...); \
	done

.PHONY: fmt
fmt: $(LINT) ## Format the code
	@for module in $(MODULES); do (cd $$module && $(LINT) fmt ./...); done

.PHONY: fmt-check
fmt-check: $(LINT) ## Fail where `make fmt` would change something
	@for module in $(MODULES); do (cd $$module && $(LINT) fmt --diff ./...); done

.PHONY: tidy-check
tidy-check: ## Fail where a go.mod is not tidy, each module by itself
	@for module in $(MODULES); do echo "tidy $$module"; (cd $$module && GOWORK=off go mod tidy -diff); done

.PHONY: generate
generate: ## Write the generated files
	go generate work

.PHONY: generate-check
generate-check: generate ## Fail where a generated file has drifted
	@git diff --exit-code --stat || { echo "run make generate and commit the result"; exit 1; }

.PHONY: test-alerts
test-alerts: ## Run the tests of the alert rules (promtool)
	@if command -v promtool >/dev/null; then \
		promtool check rules deploy/prometheus/alerts.yaml && promtool test rules deploy/prometheus/alerts_test.yaml; \
	elif [ "$${INTEGRATION:-}" = required ]; then \
		echo "INTEGRATION=required: promtool is missing (Debian: prometheus)"; exit 1; \
	else \
		echo "left out: the tests of the alert rules (not found: promtool)"; \
	fi

# In the order of what fails fastest. CI asks for the list and times each.
CHECKS := build fmt-check tidy-check lint test-alerts test-embedded test-trace test-native test-api

.PHONY: check
check: $(CHECKS) ## Everything that CI runs

.PHONY: list-checks
list-checks:
	@echo $(CHECKS)

# Built with the machine's own Go, outside the workspace, under a name with the
# version, so that another version is built as soon as it is asked for.
$(LINT):
	@mkdir -p $(@D)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	echo "install golangci-lint $(LINT_VERSION)" && \
	GOBIN="$$folder" GOWORK=off GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(LINT_VERSION) && \
	mv "$$folder/golangci-lint" $@
