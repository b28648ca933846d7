# `make help` lists what is here.

# `make run` and `make test` share one build.
## PROFILE=release: Build and run with optimisation, for figures
PROFILE ?= dev
$(if $(filter dev release,$(PROFILE)),,$(error PROFILE must be dev or release, not '$(PROFILE)'))
CARGO_FLAGS := $(if $(filter release,$(PROFILE)),--release)
export BIN := $(or $(CARGO_TARGET_DIR),target)/$(if $(filter release,$(PROFILE)),release,debug)

## ARGS="...": Options for what is run: make run ARGS="--payment-timeout 5s"; ARGS=--help lists them
ARGS ?=

# Queries are checked against the committed results, whatever database the environment names.
export SQLX_OFFLINE := true

DATABASES := checkout:CH_POSTGRES_URL loms:LOMS_POSTGRES_URL notifications:NOTIF_POSTGRES_URL

.DEFAULT_GOAL := help

.PHONY: help
help: ## List what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'
	@printf '\nWhat may stand behind it:\n'
	@sed -n 's/^## \([A-Z_]*=[^:]*\): \(.*\)$$/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  %-17s %s\n", $$1, $$2 }'

.PHONY: tools
tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null && command -v c++ >/dev/null || { echo "a C or C++ compiler is missing: install one (Debian, Ubuntu: sudo apt-get install build-essential; macOS: xcode-select --install)" >&2; exit 1; }
	@command -v perl >/dev/null || { echo "perl is missing: install it (Debian, Ubuntu: sudo apt-get install perl)" >&2; exit 1; }

.PHONY: build
build: tools
	@cargo build --workspace $(CARGO_FLAGS)

# A recipe's last line is one plain command that replaces its shell, so that a signal to make reaches the program.

.PHONY: run
run: build ## Run the whole fleet on this machine until Ctrl-C
	@exec $(BIN)/stack up $(ARGS)

.PHONY: demo
demo: build ## Tell a shopper's journey against the fleet, step by step
	@exec $(BIN)/stack demo $(ARGS)

.PHONY: status
status: build ## Show what runs, what waits where, and which limits were met
	@exec $(BIN)/stack status $(ARGS)

.PHONY: load
load: build ## Call the running fleet as many shoppers would, and check its books
	@exec $(BIN)/stack load $(ARGS)

.PHONY: bench
bench: ## Measure an optimised fleet of its own, and write docs/performance.md
	@$(MAKE) --no-print-directory build PROFILE=release
	@exec $(BIN:debug=release)/stack bench --page docs/performance.md $(ARGS)

# Tests wait more than they compute.
## TEST_THREADS=8: How many tests run at once
TEST_THREADS ?= 8

# The rooms of the tests in which something is published or consumed.
EVENT_TESTS := broker:: consumption:: delivery:: events:: expiry:: failures:: limits:: poison:: process:: replicas::

.PHONY: test
test: build ## Run every test, against a Postgres and a broker of its own
	@RUST_TEST_THREADS=$(TEST_THREADS) exec $(BIN)/stack with -- cargo test --workspace --locked $(CARGO_FLAGS) $(ARGS)

.PHONY: test-kafka
test-kafka: build ## Run the event tests and the journeys on Apache Kafka (needs Java 17 and Maven)
	@RUST_TEST_THREADS=$(TEST_THREADS) stack/apache-kafka/with sh -c 'exec $(BIN)/stack with --kafka "$$KAFKA" -- cargo test --workspace --locked $(CARGO_FLAGS) --test it -- $(EVENT_TESTS)'
	@exec stack/apache-kafka/with sh -c 'E2E_KAFKA_BROKERS="$$KAFKA" exec $(BIN)/stack with --kafka "$$KAFKA" -- cargo test --workspace --locked $(CARGO_FLAGS) --test journeys'
	@exec stack/apache-kafka/with sh -c 'exec $(BIN)/stack with --kafka "$$KAFKA" -- cargo test --workspace --locked $(CARGO_FLAGS) --test secured -- --include-ignored'

# What these tests need is fetched once, into the folder of the build.
TOOLS := $(or $(CARGO_TARGET_DIR),target)/tools
GRPC_WEB := $(TOOLS)/grpc-web-2.1.1
SCHEMATHESIS := $(TOOLS)/schemathesis

$(GRPC_WEB):
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js (Debian, Ubuntu: sudo apt-get install npm)" >&2; exit 1; }
	@rm -rf $@.part
	@npm install --prefix $@.part --silent --ignore-scripts --no-audit --no-fund $(subst grpc-web-,grpc-web@,$(@F))
	@mv $@.part $@

$(SCHEMATHESIS)/installed: e2e/tests/api/requirements.txt
	@rm -rf $(@D)
	@python3 -m venv $(@D) || { echo "install Python 3.10 or later with venv (Debian, Ubuntu: sudo apt-get install python3-venv)" >&2; exit 1; }
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.PHONY: test-browser
test-browser: build $(GRPC_WEB) ## Use the pages of the HTTP doors, and gRPC-Web, in a headless Chromium (needs npm)
	@GRPC_WEB=$(abspath $(GRPC_WEB))/node_modules/grpc-web exec cargo test --workspace --locked $(CARGO_FLAGS) --test browser -- --include-ignored

.PHONY: test-api
test-api: build $(SCHEMATHESIS)/installed ## Hold the HTTP doors against their OpenAPI documents (needs Python 3.10)
	@SCHEMATHESIS=$(abspath $(SCHEMATHESIS))/bin/schemathesis exec cargo test --workspace --locked $(CARGO_FLAGS) --test api -- --include-ignored --nocapture

.PHONY: check
check: build ## Check formatting, lints, the protocol, docs and queries
	@cargo fmt --all --check
	@cargo test --package proto --test protocol --locked --quiet $(CARGO_FLAGS)
	@cargo clippy --workspace --all-targets --locked -- --deny warnings
	@RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked --quiet
	@exec $(BIN)/stack with -- migrations/queries --check

.PHONY: image
image: tools ## Write down what the protos have anew (proto/image.txt)
	@WRITE_IMAGE=yes cargo test --package proto --test protocol --locked --quiet image

.PHONY: queries
queries: build ## Write what the compiler knows of the queries (.sqlx) anew
	@exec $(BIN)/stack with -- migrations/queries

.PHONY: certs
certs: build ## Make certificates for development in certs/
	@exec $(BIN)/stack certs $(ARGS)

.PHONY: urls
urls:
	@for database in $(DATABASES); do \
	  eval "url=\$${$${database#*:}:-}"; \
	  [ -n "$$url" ] || { echo "$${database#*:} is not set: the URL of the $${database%%:*} database" >&2; missing=1; }; \
	done; [ -z "$${missing:-}" ]

.PHONY: migrate
migrate: urls build ## Bring the databases that CH_, LOMS_ and NOTIF_POSTGRES_URL name up to date
	@set -e; for database in $(DATABASES); do $(BIN)/$${database%%:*} migrate --url-from $${database#*:}; done

.PHONY: migration
migration: ## Begin a migration: make migration service=loms name=add_x
	@case "$(service)" in checkout|loms|notifications) ;; *) echo "say which service: make migration service=loms name=add_x" >&2; exit 1 ;; esac
	@case "$(name)" in ''|*[!a-z0-9_]*) echo "give it a name of a-z, 0-9 and _: make migration service=loms name=add_x" >&2; exit 1 ;; esac
	@stem="migrations/$(service)/$$(date -u +%Y%m%d%H%M%S)_$(name)"; for step in up down; do : > "$$stem.$$step.sql" && echo "$$stem.$$step.sql"; done

.PHONY: run-services
run-services: ## Run the whole fleet in containers, with Jaeger, Prometheus and Grafana
	@exec deployments/containers run-services

.PHONY: run-log-env
run-log-env: ## Run Graylog in containers, with an input for each service
	@exec deployments/containers run-log-env

.PHONY: stop
stop: ## Stop all containers; their data stays
	@exec deployments/containers stop

.PHONY: clean
clean: ## Remove local data, containers with theirs, certificates and everything that was built
	@deployments/containers remove
	@if [ -x $(BIN)/stack ]; then $(BIN)/stack clean; \
	elif [ -d .local ]; then rm -rf -- "$$(readlink .local/postgres || echo .local/postgres)" .local; fi
	@rm -f certs/*.pem certs/*.key
	@! command -v cargo >/dev/null || cargo clean
