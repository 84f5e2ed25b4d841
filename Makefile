# make help prints this list.
BUILD ?= build
JOBS  ?= $(shell nproc)
FUZZ_SECONDS ?= 60
PROPERTY_SECONDS ?= 600

.DEFAULT_GOAL := build
PROGRAMS = pgbalancer pgbalancer_agent pgbalancer_cluster
.PHONY: build compat faults property simulate demo test unit check format tidy fuzz leak soak asan tsan bench bench-proxy bench-failover bench-surfaces bench-idle clean help deps deps-test deps-check \
  configure programs everything

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 16

deps:
	@tools/install_deps.sh

deps-test:
	@PGB_DEPS=test tools/install_deps.sh

deps-check:
	@PGB_DEPS=check tools/install_deps.sh

build: deps ## install what is missing, build the programs into build/bin
	@$(MAKE) --no-print-directory programs

configure:
	@cmake -S . -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=Release -DPGB_STATIC=ON >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

programs: configure
	@cmake --build $(BUILD) -j $(JOBS) --target $(PROGRAMS)

everything: configure
	@cmake --build $(BUILD) -j $(JOBS)

demo: build ## build, bring examples/simple up, show it and how to connect
	@tools/demo.sh $(BUILD)/bin

test: deps-test ## build, run all tests; the last line counts them
	@$(MAKE) --no-print-directory everything
	@/usr/bin/python3 tools/run_tests.py $(BUILD)

unit: deps ## the tests without the end-to-end ones
	@$(MAKE) --no-print-directory everything
	@/usr/bin/python3 tools/run_tests.py --unit $(BUILD)

check: ## format, tidy, all tests, sanitizers, each fuzzer for a minute
	@$(MAKE) --no-print-directory format
	@$(MAKE) --no-print-directory tidy
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory asan
	@$(MAKE) --no-print-directory tsan
	@$(MAKE) --no-print-directory fuzz

format: deps-check ## is every C++ file as clang-format writes it?
	@find src tests bench \( -name '*.cc' -o -name '*.h' \) -print0 | xargs -0 clang-format-14 --dry-run -Werror

tidy: deps-check ## clang-tidy over all sources
	@CXX=clang++-14 cmake --preset clang >/dev/null
	@run-clang-tidy-14 -quiet -p build-clang -j $(JOBS) '^$(CURDIR)/src/' >build-clang/tidy.log 2>&1 || \
	  { grep -E '(error|warning): ' build-clang/tidy.log | sort -u; exit 1; }

asan: deps ## unit tests under AddressSanitizer and UBSan
	@cmake --preset asan >/dev/null
	@cmake --build --preset asan -j $(JOBS)
	@/usr/bin/python3 tools/run_tests.py --unit build-asan

tsan: deps ## unit tests under ThreadSanitizer
	@cmake --preset tsan >/dev/null
	@cmake --build --preset tsan -j $(JOBS)
	@/usr/bin/python3 tools/run_tests.py --unit build-tsan

fuzz: deps-check ## each fuzz target for a minute
	@tools/fuzz.sh $(FUZZ_SECONDS)

compat: build ## PostgreSQL's own tests, directly and through the balancer (COMPAT="--suite regress --mode session")
	@PGB_BIN=$(abspath $(BUILD))/bin /usr/bin/python3 tests/compat/run_compat.py $(COMPAT)

property: build ## random statements through the balancer and at the primary alone must answer the same (PROPERTY_SECONDS=600, SEED=N)
	@PGB_BIN=$(abspath $(BUILD))/bin PGB_PROPERTY_SECONDS=$$(( $(PROPERTY_SECONDS) / 2 )) PGB_SEED=$(or $(SEED),$$(date +%s)) /usr/bin/python3 -m pytest -q -rP \
	  -p no:cacheprovider tests/e2e/test_property.py

faults: build ## kills, stops, starts and cut networks of a cluster that chooses its primary, under a ledger (FAULTS="-k killed_agent")
	@PGB_BIN=$(abspath $(BUILD))/bin /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/faults $(FAULTS)

leak: build ## 200 clients with random session state on 8 servers a node (LEAK="--minutes 10 --seed 1")
	@PGB_BIN=$(abspath $(BUILD))/bin /usr/bin/python3 tests/load/leak.py $(LEAK)

soak: build ## mixed load for 20 minutes, with memory plotted (SOAK="--minutes 5 --out DIR")
	@PGB_BIN=$(abspath $(BUILD))/bin /usr/bin/python3 tests/load/soak.py $(SOAK)

simulate: deps-test configure ## schedules of faults against the decisions of failover (SIM="--schedules 100000")
	@cmake --build $(BUILD) -j $(JOBS) --target ha_simulate
	@$(BUILD)/bin/ha_simulate $(SIM)

bench: build ## time the life cycle against the bare PostgreSQL tools
	@/usr/bin/python3 bench/lifecycle.py $(BUILD)/bin

bench-proxy: build ## compare the balancer with PgBouncer, Odyssey, pgpool-II, HAProxy (BENCH="--only tls --runs 1")
	@/usr/bin/python3 bench/proxy.py $(BENCH) $(BUILD)

bench-failover: build ## how long a lost primary is felt, beside Patroni with HAProxy (FAILOVER="--systems ours --json FILE --logs DIR")
	@/usr/bin/python3 bench/failover.py $(FAILOVER) $(BUILD)

bench-surfaces: build ## what REST and /metrics cost, and how soon they answer
	@/usr/bin/python3 bench/surfaces.py $(BENCH) $(BUILD)/bin

bench-idle: build ## what a group of three costs while nothing happens (IDLE="--seconds 60")
	@/usr/bin/python3 bench/idle.py $(IDLE) $(BUILD)/bin

clean: ## remove the build folders
	rm -rf build build-*
