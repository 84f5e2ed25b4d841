# make help prints this list.
BUILD ?= build
JOBS  ?= $(shell nproc)

.DEFAULT_GOAL := build
.PHONY: build demo test check fuzz asan tsan bench clean help deps programs

help: ## this list
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

deps:
	@tools/install_deps.sh

build: deps programs ## install what is missing, build the three programs into build/bin

programs:
	@cmake -S . -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=Release -DPGB_STATIC=ON >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log
	@cmake --build $(BUILD) -j $(JOBS)

demo: build ## build and bring up examples/simple, show it and how to connect
	@tools/demo.sh

test: build ## build everything and run all tests
	@/usr/bin/python3 tools/run_tests.py $(BUILD)

asan: deps ## unit tests under AddressSanitizer and UBSan
	@cmake -S . -B build-asan -G Ninja -DCMAKE_BUILD_TYPE=Debug -DPGB_SANITIZE=address,undefined >/dev/null
	@cmake --build build-asan -j $(JOBS)
	@/usr/bin/python3 tools/run_tests.py --unit build-asan

tsan: deps ## unit tests under ThreadSanitizer
	@cmake -S . -B build-tsan -G Ninja -DCMAKE_BUILD_TYPE=Debug -DPGB_SANITIZE=thread >/dev/null
	@cmake --build build-tsan -j $(JOBS)
	@/usr/bin/python3 tools/run_tests.py --unit build-tsan

fuzz: deps ## each fuzz target for a minute
	@tools/fuzz.sh 60

check: test asan tsan fuzz ## all of the above

bench: build ## time the life cycle against the bare PostgreSQL tools
	@/usr/bin/python3 bench/lifecycle.py $(BUILD)/bin

clean: ## remove the build folders
	rm -rf build build-*
