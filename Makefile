# SPDX-License-Identifier: MIT
# The words that people type. Each target installs what it needs and is missing (Debian, Ubuntu) or says what to install.
# `make help` lists them. CMake does the building: see CMakePresets.json for using it without make.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.SUFFIXES:

BUILD := build
VENV := $(BUILD)/venv
PYTHON := $(VENV)/bin/python
JOBS ?= 2
PREFIX ?= /usr/local
# Arguments for pytest, for instance ARGS="-k resume -x".
ARGS ?=
# Progress for people, errors alone for logs.
QUIET := $(shell [ -t 2 ] || echo -- --quiet)
CMAKE_FILES := $(wildcard CMakeLists.txt CMakePresets.json */CMakeLists.txt cmake/*)

.PHONY: help
help: ## This list
	@echo 'make TARGET, where TARGET is one of'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | \
	  while IFS="$$(printf '\t')" read -r name text; do printf '  %-14s %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: ## Install the compiler, libraries and Python that the build needs, where they are missing
	@tools/setup build python

# -- building ---------------------------------------------------------------------------------------------------------

.PHONY: build
build: setup-build configure ## Programs in build/bin, libraries in build/lib
	@cmake --build $(BUILD) -j $(JOBS) $(QUIET)

.PHONY: setup-build configure
setup-build:
	@tools/setup build

configure: $(BUILD)/build.ninja

$(BUILD)/build.ninja: $(CMAKE_FILES) | setup-build
	@mkdir -p $(BUILD)
	@cmake --preset dev >$(BUILD)/configure.log 2>&1 || { rm -f $@; cat $(BUILD)/configure.log; exit 1; }
	@touch $@

# -- Python -----------------------------------------------------------------------------------------------------------

PIP := $(PYTHON) -m pip --disable-pip-version-check -q --no-input

$(VENV)/bin/python:
	@tools/setup python
	@mkdir -p $(BUILD)
	@rm -rf $(VENV)
	@"$$(tools/find-python)" -m venv $(VENV)

$(VENV)/.%-deps: tools/requirements/%.txt $(VENV)/bin/python
	@$(PIP) install -r $<
	@printf '#!/bin/sh\nexec "%s" -m grpc_tools.protoc "$$@"\n' "$(abspath $(PYTHON))" >$(VENV)/bin/protoc
	@chmod +x $(VENV)/bin/protoc
	@touch $@

.PHONY: venv
venv: build $(VENV)/.build-deps ## build/venv: a Python environment with the package sandd
	@tools/install-package $(BUILD)

# -- running ----------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: venv ## A server, three daemons, real commands, a connection cut in the middle of one
	@$(PYTHON) examples/demo.py

.PHONY: test
test: build $(VENV)/.test-deps venv ## All tests: C (ctest) and Python (pytest); ARGS are for pytest
	@tools/run-tests $(BUILD) c python -- $(ARGS)

.PHONY: test-c test-python
test-c: build ## The C tests alone
	@tools/run-tests $(BUILD) c
test-python: $(VENV)/.test-deps venv ## The Python tests alone; ARGS are for pytest
	@tools/run-tests $(BUILD) python -- $(ARGS)

.PHONY: asan tsan valgrind
asan: setup-build $(VENV)/.test-deps $(VENV)/.build-deps ## All tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/sanitize asan c python
tsan: build $(VENV)/.test-deps $(VENV)/.build-deps ## All tests under ThreadSanitizer
	@tools/sanitize tsan c python
valgrind: setup-build ## The C tests under valgrind
	@tools/setup valgrind
	@tools/sanitize valgrind c

N ?= 10000
SEED ?= 1
.PHONY: sim sim-mutants
sim: build ## The link simulator: N=disconnections SEED=first seed
	@$(BUILD)/bin/sandd-sim --cuts $(N) --seed $(SEED)
sim-mutants: build ## One protocol rule after the other turned off: the simulator must fail
	@tools/sim-mutants $(BUILD)

.PHONY: bench bench-exec
bench: bench-exec ## Every benchmark
bench-exec: venv ## Exec against local subprocess, as ratios
	@$(PYTHON) bench/bench_exec.py $(ARGS)

# -- gates ------------------------------------------------------------------------------------------------------------

.PHONY: check
check: $(VENV)/.check-deps $(VENV)/.test-deps $(VENV)/.build-deps ## Every gate: format, lint, types, schema, generated code, licences, layers
	@tools/setup gen
	@$(PYTHON) tools/check

.PHONY: fmt
fmt: $(VENV)/.check-deps ## Format C and Python sources
	@$(PYTHON) tools/check --fix format

.PHONY: gen
gen: $(VENV)/.check-deps $(VENV)/.test-deps ## Generate gen/ and docs/status-codes.md from the schema
	@tools/setup gen
	@$(PYTHON) tools/gen
	@$(PYTHON) python/scripts/gen_status.py

.PHONY: schema-accept
schema-accept: $(VENV)/.check-deps $(VENV)/.test-deps ## Let the released schema grow by what proto/ adds
	@$(PYTHON) tools/gen --accept

# -- the rest ---------------------------------------------------------------------------------------------------------

.PHONY: install
install: setup-build ## Programs, headers, libraries, pkg-config and CMake files; PREFIX=/usr/local, DESTDIR
	@cmake --preset release --log-level=WARNING
	@cmake --build --preset release -j $(JOBS) $(QUIET)
	@cmake --install build-release --prefix $(PREFIX)

.PHONY: clean
clean: ## Remove everything that was built
	@rm -rf build build-release build-asan build-tsan build-valgrind
