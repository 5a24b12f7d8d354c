# kurz: everything a developer types. `make` alone lists it.

GO       ?= go
FUZZTIME ?= 3s
KILLS    ?= 200
CUTS     ?= 50
SLOW     ?= 20
RESTARTS ?= 100
CROSS    ?= darwin/arm64 freebsd/arm64 windows/arm64 darwin/amd64 freebsd/amd64 windows/amd64
COVER    := link click journal redirect ratelimit idempotency

# Tools, pinned here: they are run from the module cache, never installed, and
# their dependencies stay out of go.mod.
GOFUMPT     := $(GO) run mvdan.cc/gofumpt@v0.12.0
GOLANGCI    := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.8.0

.DEFAULT_GOAL := help
.PHONY: help build run test race check arch fuzz bench profile contestants cover lint vet fmt fmt-check generate e2e kill powercut damage door cross vuln clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/kurz, static and without cgo
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/kurz ./cmd/kurz

run: ## run the server on http://localhost:8080
	$(GO) run ./cmd/kurz serve

test: ## run every test; whatever they need is set up by itself
	@./test/needs
	$(GO) test ./...

race: ## run every test with the race detector, in random order; those that draw at random draw less
	@./test/needs
	$(GO) test -race -short -shuffle=on -timeout 25m ./...

check: CROSS = darwin/arm64 freebsd/amd64 windows/amd64
check: fmt-check vet cross lint contestants arch test fuzz vuln ## everything a change must pass
	@echo "check: passed"

arch: ## check who imports whom (ARCHITECTURE.md)
	$(GO) test -run 'TestRules' ./internal/arch

fuzz: ## fuzz every target for FUZZTIME (3s) each
	./test/fuzz $(FUZZTIME)

bench: ## measure the numbers kurz promises, others beside it; writes docs/benchmarks.md
	$(GO) run ./bench -out docs/benchmarks.md -profile docs

profile: ## draw what a redirect is made of; writes docs/redirect-profile.{md,svg}
	$(GO) run ./bench -only '^profile$$' -profile docs

contestants: ## vet, lint and test the module of those that bench measures beside kurz
	cd bench/contestants && $(GO) vet ./... && $(GOLANGCI) run -c ../../.golangci.yml ./... && $(GO) test ./...

cover: ## coverage of the packages that must have 90 % and of the rest
	./test/cover $(COVER)

lint: ## run the linters of .golangci.yml
	$(GOLANGCI) run ./...
	@sleepy=$$(git ls-files -co --exclude-standard '*_test.go' | xargs grep -lE 'time\.Sleep\(' | xargs -r grep -L '"testing/synctest"'); \
	if [ -n "$$sleepy" ]; then echo "tests that sleep outside testing/synctest:"; echo "$$sleepy"; exit 1; fi

vet: ## run go vet
	$(GO) vet ./...

cross: ## build and vet for the systems of CROSS that this one is not
	@for target in $(CROSS); do \
		echo "cross: $$target"; \
		GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build ./... && \
		GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) vet ./... || exit 1; \
	done

fmt: ## format every file
	$(GOFUMPT) -l -w .

fmt-check: ## fail where a file is not formatted
	@files=$$($(GOFUMPT) -l .) || exit 1; \
	if [ -n "$$files" ]; then echo "not formatted (make fmt):"; echo "$$files"; exit 1; fi

generate: ## write what is generated: the reference of settings
	$(GO) generate ./...

e2e: ## run the black-box tests against the real program, told one by one
	$(GO) test -count=1 -v ./e2e

kill: ## kill -9 under load, KILLS (200) times, and count what was lost
	KURZ_KILLS=$(KILLS) $(GO) test -count=1 -v -timeout 120m -run '^TestKill$$' ./e2e

door: ## slow clients, SLOW (20) seconds of each kind, RESTARTS (100) under load, 10,000 idle connections
	@./test/needs
	REQUIRE_BACKENDS=1 KURZ_SLOW=$(SLOW) KURZ_RESTARTS=$(RESTARTS) KURZ_IDLE=10000 $(GO) test -count=1 -parallel 1 -v -timeout 60m \
		-run '^Test(SlowClients|FewDescriptors|Restarts|IdleConnections|RFC9112.*)$$' ./e2e

powercut: ## cut the power under load, CUTS (50) times a mode, and count what was lost; takes root
	REQUIRE_BACKENDS=1 $(GO) test -count=1 ./test/powercut
	REQUIRE_BACKENDS=1 KURZ_CUTS=$(CUTS) $(GO) test -count=1 -v -timeout 120m -run '^TestPowerCut' ./internal/journal ./e2e
	REQUIRE_BACKENDS=1 KURZ_TEST_PLAIN=1 KURZ_CUTS=$(CUTS) $(GO) test -count=1 -v -timeout 120m -run '^TestPowerCut' ./internal/journal

damage: ## truncate a journal at every byte of its last 64 KiB, and flip bits 10,000 times
	KURZ_DAMAGE=all $(GO) test -count=1 -v -timeout 60m -run '^TestPumped' ./internal/journal

vuln: ## look for known vulnerabilities, where the database can be reached
	@if curl -fsS -m 10 -o /dev/null https://vuln.go.dev/index/modules.json 2>/dev/null; then \
		$(GOVULNCHECK) ./...; \
	else \
		echo "vuln: skipped: https://vuln.go.dev cannot be reached from here"; \
	fi

clean: ## remove what was built
	rm -rf bin
