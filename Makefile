# Everything a person or a CI runs. POSIX sh and GNU make 3.81 (the one macOS ships) are enough.

PREFIX ?= $(HOME)/.local
CARGO = ./scripts/cargo
NEED = ./scripts/need
TARGET = $(or $(CARGO_TARGET_DIR),target)
PROGRAMS = version-watch apply-update run-migrations telec

.DEFAULT_GOAL := help
.SUFFIXES:
.PHONY: help build demo test lint install uninstall deny deny-offline msrv release-check bench soak fuzz

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1	\2/p' Makefile | awk -F'\t' '{ printf "make %-13s %s\n", $$1, $$2 }'

# --- people ---------------------------------------------------------------------------------

demo: ## See a release found, applied, migrated, installed and restarted, in a scratch world
	@$(NEED) cargo cc git python3 make
	@$(CARGO) build --release --locked --bins --example release-api
	@python3 demo/run.py --programs $(TARGET)/release

build: ## Build the programs
	@$(NEED) cargo cc
	@$(CARGO) build --release --locked --bins

# A running program keeps its file: the new one takes the name in one step.
install: build ## Install the programs into $(PREFIX)/bin (default ~/.local/bin)
	@mkdir -p "$(DESTDIR)$(PREFIX)/bin"
	@set -e; for name in $(PROGRAMS); do \
		place="$(DESTDIR)$(PREFIX)/bin"; \
		install -m 755 "$(TARGET)/release/$$name" "$$place/.$$name.new"; \
		mv -f "$$place/.$$name.new" "$$place/$$name"; \
		echo "$$place/$$name"; \
	done
	@case ":$$PATH:" in *":$(PREFIX)/bin:"*) ;; *) echo "note: $(PREFIX)/bin is not on PATH" ;; esac

uninstall: ## Remove the programs from $(PREFIX)/bin
	@for name in $(PROGRAMS); do rm -f "$(DESTDIR)$(PREFIX)/bin/$$name"; done

# --- checks ---------------------------------------------------------------------------------

test: ## Run all tests
	@$(NEED) cargo cc git python3 make ssh-keygen curl
	@$(NEED) gpg || echo "tests of gpg signatures are skipped"
	@./scripts/test

# Tests start programs, write files and panic; the strict rules are for what is shipped.
IN_TESTS = $(addprefix -A clippy::,pedantic unwrap_used expect_used panic disallowed_methods)

lint: ## Check format, clippy, Python, shell and workflows
	@$(NEED) cargo cc rustfmt clippy git python3 venv npm
	@$(CARGO) fmt --check
	@$(CARGO) clippy --release --locked --lib --bins -- -D warnings
	@$(CARGO) clippy --release --locked --all-targets --features failpoints -- -D warnings $(IN_TESTS)
	@./scripts/lint-python
	@./scripts/lint-shell
	@./scripts/lint-workflows

deny: ## Check licences, advisories and sources of the dependencies (needs the network)
	@$(NEED) cargo cc
	@./scripts/deny

deny-offline: ## The same without the advisories, whose database is on the network
	@$(NEED) cargo cc
	@./scripts/deny licenses bans sources

msrv: ## Check with the oldest Rust that Cargo.toml promises (rustup installs it)
	@./scripts/msrv

# --- releases -------------------------------------------------------------------------------

release-check: ## Make and try the files of release VERSION for this machine, in target/release-check
	@$(NEED) cargo cc git python3 venv
	@./scripts/release-check "$(VERSION)"

# --- measurements ---------------------------------------------------------------------------

bench: ## Measure migrations: 1,000 recorded, 1,000 and 10,000 to run
	@$(NEED) cargo cc git python3
	@$(CARGO) build --release --locked --bins
	@./scripts/bench-migrations $(TARGET)/release/run-migrations

SECONDS = 60
fuzz: ## Fuzz the parsers, each for SECONDS (default 60); TARGET= only one (config, signal, ls_remote…)
	@$(NEED) cargo cc g++
	@./scripts/fuzz "$(if $(filter command,$(origin TARGET)),$(TARGET))" $(SECONDS)

COUNT = 200
soak: ## Kill updates and migrations at COUNT random moments (default 200), and at every place of an update
	@$(NEED) cargo cc git python3 make
	@MIGRATE_KILLS=$(COUNT) $(CARGO) test --release --locked --test migrate_kill -- --nocapture
	@SOAK_COUNT=$(COUNT) $(CARGO) test --release --locked --test apply_kill -- --nocapture --test-threads=1
	@SOAK_EVERY=1 $(CARGO) test --locked --features failpoints --test apply_faults -- --nocapture
