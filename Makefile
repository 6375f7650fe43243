# `make` alone lists the targets. Each installs what it lacks, on a Debian
# machine as root; elsewhere it says what to install.

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS = -s -w -X main.release=$(VERSION) -X main.commit=$(COMMIT)

# One set of build settings, so that each package is compiled once for builds, lint, deploy/ and release,
# and once with the race detector.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath $(filter-out -trimpath,$(GOFLAGS))

.DEFAULT_GOAL := help
.PHONY: help build demo test bench soak release alerts prepare test-product test-deploy lint vuln fuzz go servers tools

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: go ## the binary: bin/stoker
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/stoker ./cmd/stoker

demo: build servers ## see it work: a shop on private throw-away servers, until Ctrl-C
	@exec bin/stoker demo

test: go ## vet, staticcheck, and every test with the race detector, on private servers
	@$(MAKE) --no-print-directory -j3 lint test-product test-deploy

prepare: tools

# Most tests wait for servers, so that more packages are tested at a time than there are processors, and lint is done
# beside them. It vets them; without what only debuggers read, test binaries are linked in half the time.
TESTFLAGS = -vet=off -ldflags='-s -w' -timeout 14m

# They take minutes, and begin first: the last of a package, alone, would leave processors idle.
LONG = ./cmd/stoker ./cmd/soak/internal/checker ./worker ./store/cache ./cmd/stoker/internal/daemon

test-product: go prepare
	CGO_ENABLED=1 $(GO) test -race -p 3 $(TESTFLAGS) $(LONG) ./...

# What they build is of the other module, which Go does not look at when it keeps the result of a test.
test-deploy: go prepare
	$(GO) -C deploy test -count 1 $(TESTFLAGS) ./...

bench: build servers ## our goals, measured (ROUNDS, SCALE, SECONDS, ONLY, JSON=file, MICRO=0, BEFORE=binary of an older build); BENCH=pattern: Go benchmarks alone (OUT=file)
ifdef BENCH
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./... $(if $(OUT),| tee $(OUT))
else
	$(GO) build -o bin/bench ./cmd/bench
	@exec bin/bench -stoker bin/stoker -go $(GO) $(if $(ROUNDS),-rounds $(ROUNDS)) $(if $(SCALE),-scale $(SCALE)) $(if $(SECONDS),-seconds $(SECONDS)) \
		$(if $(ONLY),-only "$(ONLY)") $(if $(BEFORE),-before "$(BEFORE)") $(if $(JSON),-json "$(JSON)") $(if $(filter 0,$(MICRO)),-micro=false)
endif

soak: go servers ## the consistency checker, long: mutants, then mixes of faults (DURATION=10m, SEED=1, MUTANTS=all|none|names, BEFORE=binary)
	$(GO) build -o bin/soak ./cmd/soak
	@exec bin/soak -duration $(or $(DURATION),10m) -seed $(or $(SEED),1) $(if $(BEFORE),-before "$(BEFORE)") -mutants "$(or $(MUTANTS),$(if $(BEFORE),none,all))"

release: go ## everything that is shipped, into dist/: archives, deb, rpm, apk, image, chart, SBOM, checksums (VERSION=v1.2.3)
	$(GO) -C deploy run ./release -go $(GO) -version '$(VERSION)'
	@ls -l dist

alerts: go ## let every alert fire and clear, with promtool (some minutes, the first time)
	$(GO) -C deploy/promtool tool promtool --version
	STOKER_PROMTOOL=1 $(GO) -C deploy test -count 1 -timeout 30m -run 'Alert|Promtool' -v ./mixin

lint: go ## gofmt, vet, staticcheck, go mod tidy
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	GOGC=400 $(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	$(GO) -C deploy vet ./...
	$(GO) -C deploy mod tidy -diff

vuln: go ## known vulnerabilities in what we depend on
	$(GO) tool govulncheck ./...

fuzz: go servers ## each fuzz test for FUZZTIME (30s)
	@set -e; for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),30s) $$pkg; \
		done; \
	done

go:
	@command -v $(GO) >/dev/null || { echo "Go 1.26 or newer is needed: see https://go.dev/dl/" >&2; exit 1; }

servers:
	@deploy/dev/install.sh

tools: servers # one after the other: both may install
	@deploy/dev/install.sh test
	@deploy/dev/postgres18.sh
	@deploy/dev/yaml-language-server.sh
