# hufu: build it, try it, test it. `make help` lists the targets.

SHELL       := /bin/sh
GO          ?= go
FUZZTIME    ?= 10s
TESTTIMEOUT ?= 15m
ARGS        ?=
BASE_URL    ?= https://example.org/hufu

# The version is what git calls this commit; without git it is "dev".
VERSION := $(shell command -v git >/dev/null 2>&1 && git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  := $(shell command -v git >/dev/null 2>&1 && git rev-parse --short=12 HEAD 2>/dev/null)

# Nothing here needs git: not stamping spares a build in a copied tree, or in
# one that another user owns, an error from it.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

TOOL  := $(GO) tool -modfile=tools/go.mod
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X hufu.Version=$(VERSION) -X hufu.Commit=$(COMMIT)'

.DEFAULT_GOAL := help
.PHONY: help run build test soak check fuzz bench cluster pictures measure man release clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: build ## build, then serve on 127.0.0.1:9999 with a client enrolled; ARGS="--listen 127.0.0.1:9997" for another port
	@exec bin/hufud run $(ARGS)

build: ## build bin/hufu and bin/hufud; needs Go only
	@[ -x bin/hufud ] || echo "Building bin/hufu and bin/hufud. The first time this fetches Go modules and takes some minutes." >&2
	$(BUILD) -o bin/ ./cmd/hufu ./cmd/hufud

test: ## run every test once: race detector, shuffled; then the end-to-end tests in test/
	@test/requires.sh
	@packages=$$($(GO) list -tags e2e ./... | grep -v '^hufu/test/') && \
		CGO_ENABLED=1 $(GO) test -tags e2e -race -shuffle=on -timeout $(TESTTIMEOUT) $$packages
	$(GO) test -run TestModel ./internal/blob/object
	GODEBUG=cpu.avx512f=off $(GO) test ./internal/digest
	@[ "$$($(GO) env GOOS GOARCH | tr '\n' /)" != linux/amd64/ ] || GOARCH=386 CGO_ENABLED=0 $(GO) test ./internal/digest
	$(GO) test -tags e2e -count=1 -p 2 -timeout $(TESTTIMEOUT) ./test/...

soak: ## what takes an hour: pictures, kills in files of 1 GiB, a million names, all packages twice, each fuzz target for two minutes
	@test/requires.sh
	HUFU_LARGE=1 $(GO) test -tags e2e,pictures -count=1 -p 1 -v -timeout 3h ./test/... ./internal/blob/object
	@$(MAKE) --no-print-directory fuzz FUZZTIME=2m

check: ## look at the source without running it: format, vet, fix, tidy, lint
	@out=$$($(TOOL) gofumpt -l .) && if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet -tags e2e,pictures ./...
	GOOS=darwin CGO_ENABLED=0 $(GO) vet ./...
	GOOS=windows CGO_ENABLED=0 $(GO) vet ./...
	$(GO) fix -diff -tags e2e,pictures ./...
	$(GO) mod tidy -diff
	$(TOOL) golangci-lint run ./...

fuzz: ## run each fuzz target for FUZZTIME (10s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "== $$(dirname "$$file") $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null || exit 1; \
		done || exit 1; \
	done

bench: build ## measure hufu beside other tools on this machine
	@bench/run.sh $(ARGS)

cluster: build ## run three servers on one database and one S3 service, to try them; Ctrl-C ends it
	@$(GO) run -tags e2e ./test/cluster

pictures: ## make the pictures of the page in docs/images anew; needs Chromium
	HUFU_SCREENSHOTS=$(CURDIR)/docs/images $(GO) test -tags e2e,pictures -count=1 -run TestPictures ./test/gui

measure: ## print how fast the page is: first paint, scrolling 100,000 names; needs Chromium and a quiet computer
	$(GO) test -tags e2e,pictures -count=1 -v -run 'TestFirstPaint|TestScrolling' ./test/gui

man: build ## write the manual pages, English and Chinese, to bin/man
	bin/hufu man bin/man/man1 && bin/hufud man bin/man/man1
	bin/hufu --lang zh-CN man bin/man/zh_CN/man1 && bin/hufud --lang zh-CN man bin/man/zh_CN/man1
	@for dir in bin/man bin/man/zh_CN; do mkdir -p $$dir/man7 && mv $$dir/man1/*.7 $$dir/man7/; done

release: ## fill dist/ with programs and packages for six platforms: VERSION=1.0.0 BASE_URL=https://…
	@[ "$(origin VERSION)" = "command line" ] || { echo "Which version? make release VERSION=1.0.0" >&2; exit 2; }
	@$(GO) run ./release -version "$(VERSION)" -base-url "$(BASE_URL)"

clean: ## remove what was built
	rm -rf bin dist
