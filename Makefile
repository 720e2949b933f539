# Breakwater: `make` or `make help` lists what there is.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
BIN     := bin
TOOLS   := $(CURDIR)/.tools
GOLANGCI_VERSION := v2.15.0
VULN_VERSION     := v1.9.0
PROMETHEUS_VERSION := v0.316.0
FUZZTIME ?= 10m
KILLS    ?= 1000
CHAOS    ?= 10m
ROUNDS   ?= 20

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  \033[36m%-12s\033[0m %s\n", $$1, $$2}'

.PHONY: run
run: ## serve on embedded defaults (the same as: go run ./cmd/breakwater)
	go run ./cmd/breakwater

.PHONY: build
build: ## static binary in bin/breakwater, load tool in bin/loadgen
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/breakwater ./cmd/breakwater
	CGO_ENABLED=0 go build -trimpath -o $(BIN)/loadgen ./cmd/loadgen

WEB := webdemo

.PHONY: deps
deps: $(WEB)/node_modules/.package-lock.json ## install what the tests need from the system (promtool, a browser, node, rsyslog), when it is missing
	@missing=; \
	command -v promtool >/dev/null || missing="$$missing prometheus"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v firefox-esr >/dev/null || missing="$$missing firefox-esr"; \
	command -v prometheus-alertmanager >/dev/null || missing="$$missing prometheus-alertmanager"; \
	PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || missing="$$missing nginx-light"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	command -v strace >/dev/null || missing="$$missing strace"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v ip >/dev/null || missing="$$missing iproute2"; \
	command -v xz >/dev/null || missing="$$missing xz-utils"; \
	command -v bzip2 >/dev/null || missing="$$missing bzip2"; \
	PATH="$$PATH:/usr/sbin" command -v rsyslogd >/dev/null && ls /usr/lib/*/rsyslog/lmnsd_gtls.so >/dev/null 2>&1 || missing="$$missing rsyslog rsyslog-gnutls"; \
	if [ -n "$$missing" ]; then $(call install,$$missing); fi
	@$(WEB)/stack/bugsink.sh install $(CURDIR)/$(WEB)/stack/.bugsink || echo "NOTICE: without Bugsink: the browser suite's recording upstream stands in for it"

# One lockfile and one node_modules for all of webdemo: it is an npm workspace.
$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	@if ! command -v npm >/dev/null; then $(call install,nodejs npm); fi
	cd $(WEB) && npm ci
	@touch $@

# install gets packages of the system, or says which ones are wanted.
define install
  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
    echo "installing" $(1); \
    apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) >/dev/null; \
  else echo "missing, and cannot be installed here:" $(1) >&2; exit 1; fi
endef

.PHONY: test
test: deps ## install what is missing, then every test (about 10 minutes on 2 cores)
	cd $(WEB) && npm test
	go vet ./...
	go test -timeout 18m ./...
	@$(MAKE) --no-print-directory stack
	@$(MAKE) --no-print-directory browser

.PHONY: stack
stack: ## hold the Kubernetes manifests, the compose file of several gateways and the systemd unit to what they are meant for
	cd $(WEB)/stack/verify && go vet ./... && go test -timeout 18m ./...

.PHONY: rules
rules: ## write the rules and dashboards of this version into webdemo/stack, for Compose and for Kubernetes
	go test -count=1 -run TestStackIsExported ./cmd/breakwater -update

.PHONY: browser
browser: deps build demo-build ## the demo's scenarios in Chromium and Firefox against gateway, Bugsink and Prometheus (3 minutes)
	cd $(WEB)/e2e && npx playwright test

.PHONY: flake
flake: deps build demo-build ## the browser suite ROUNDS (20) times; stops at the first failure
	cd $(WEB)/e2e && npx playwright test --repeat-each=$(ROUNDS) -x

.PHONY: broken
broken: deps build demo-build ## break one part of the gateway at a time: the specs about it must fail
	cd $(WEB)/e2e && npm run --silent broken

.PHONY: demo-build
demo-build: $(WEB)/node_modules/.package-lock.json ## the demonstration page, which the gateway then serves at /demo/ on its private listener
	cd $(WEB)/web && npm run --silent build

.PHONY: demo
demo: deps build ## the whole loop on this machine: gateway, Bugsink, Prometheus, Alertmanager, demo pages; Ctrl-C ends it
	@if [ -f $(WEB)/web/package.json ]; then $(MAKE) --no-print-directory demo-build; fi
	@$(WEB)/stack/demo.sh

.PHONY: long
long: deps ## the tests that BREAKWATER_LONG=1 makes longer: attacks measured beside others, the console four ways, 10,000 verdicts in Prometheus, ten million forged labels, a storm of two million errors, 100,000 lives of the spool
	BREAKWATER_LONG=1 go test -timeout 60m -run 'TestConsoleInBrowser|TestVerdictsInPrometheus|TestForgedLabels|TestStormAtTheDoor|TestHostileRequests' -v ./cmd/breakwater ./ingest/vitals
	BREAKWATER_LONG=1 go test -timeout 60m -run 'TestLedger$$|TestEveryCallFails' -v ./relay/spool/disk -rapid.checks=100000

.PHONY: pictures
pictures: deps ## pictures of every page of the console in bin/pictures; the README's is one of them
	mkdir -p $(BIN)/pictures
	CONSOLE_PICTURES=$(CURDIR)/$(BIN)/pictures go test -count=1 -timeout 15m -run 'TestConsoleInBrowser' ./cmd/breakwater
	cp $(BIN)/pictures/overview.png cmd/breakwater/console/testdata/

.PHONY: native
native: $(TOOLS)/prometheus ## the same questions to a Prometheus 3 with native histograms (builds it once, some minutes)
	PROMETHEUS3=$(TOOLS)/prometheus go test -count=1 -run 'TestPrometheus3' -v ./cmd/breakwater

.PHONY: hermes
hermes: deps $(TOOLS)/node_modules/hermes-engine-cli/package.json ## the client for React Native as bytecode in a real Hermes (gets it once, 57 MB)
	HERMES=$(TOOLS)/node_modules/hermes-engine-cli/linux64-bin go test -count=1 -run 'TestNativeClientInHermes' -v ./cmd/breakwater

.PHONY: race
race: deps ## every test under the race detector
	go test -race -timeout 60m ./...

.PHONY: check
check: lint vuln generated race ## what a release must pass: linters, vulnerabilities, generated files, race tests

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## the linters of .golangci.yml
	$(TOOLS)/golangci-lint run ./...

.PHONY: vuln
vuln: $(TOOLS)/govulncheck ## known vulnerabilities that our code reaches
	$(TOOLS)/govulncheck ./...

.PHONY: generated
generated: ## generated files are up to date
	go generate ./...
	git diff --exit-code -- schemas README.md

$(TOOLS)/golangci-lint:
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
$(TOOLS)/prometheus: # without service discovery, which the test does not need and takes most of the build
	GOBIN=$(TOOLS) go install -tags remove_all_sd github.com/prometheus/prometheus/cmd/prometheus@$(PROMETHEUS_VERSION)
$(TOOLS)/node_modules/hermes-engine-cli/package.json:
	npm install --prefix $(TOOLS) --no-audit --no-fund --ignore-scripts hermes-engine-cli@0.12.0
$(TOOLS)/govulncheck:
	GOBIN=$(TOOLS) go install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)

.PHONY: bench
bench: build ## the figures: gateway beside an empty handler and a bare file, backlog, large attachment, packages
	$(BIN)/loadgen bench
	$(BIN)/loadgen attachment
	$(BIN)/loadgen backlog
	go test -run '^$$' -bench . ./...

.PHONY: torture
torture: build ## kill -9 under load, KILLS times (1000); nothing acknowledged may be lost
	$(BIN)/loadgen torture --kills $(KILLS)

.PHONY: torture-stream
torture-stream: deps build ## the same with the spool on three NATS servers, which are killed as well, KILLS times
	$(BIN)/loadgen torture --engine jetstream --uptime 3s --kills $(KILLS)

.PHONY: engines
engines: build ## appends per second of the spool on disk, the spool on JetStream and plain publishing, in one run
	$(BIN)/loadgen engines --payload random --producers 128 --least 0
	$(BIN)/loadgen engines

.PHONY: chaos
chaos: deps build ## several gateways, NATS, Redis and the links between them broken in random order for CHAOS (10m); needs root for network namespaces
	$(BIN)/loadgen chaos --duration $(CHAOS) --verbose

.PHONY: fuzz
fuzz: ## fuzz every target for FUZZTIME (10m) each, two at a time
	@go list -f '{{$$p := .ImportPath}}{{range .TestGoFiles}}{{$$p}} {{end}}{{range .XTestGoFiles}}{{$$p}} {{end}}' ./... | tr ' ' '\n' | sort -u | sed '/^$$/d' | \
	while read -r pkg; do go test -list '^Fuzz' "$$pkg" | grep '^Fuzz' | sed "s|^|$$pkg |" || true; done | \
	xargs -P 2 -L 1 bash -c 'echo "fuzz $$0 $$1"; go test -run "^$$" -fuzz "^$$1\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x -parallel 1 "$$0"'
