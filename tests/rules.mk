# SPDX-License-Identifier: MIT
# Unit tests: tests/unit/FOLDER/test_NAME.c is one program, linked with what FOLDER may use and no more.

UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_BIN := $(UNIT_SRC:%.c=$(B)/%)

define unit_rule
$(B)/tests/unit/$(1)/test_%: $(B)/tests/unit/$(1)/test_%.o $(foreach f,$(DEPS_$(1)),$(call lib,$(f)))
	$$(Q)$$(CC) $$(ALL_CFLAGS) -o $$@ $$^ -lcunit $$(SYS_tunneld)
endef
$(foreach f,common wire tcp mptcp seal fault io shim config paths status daemon,$(eval $(call unit_rule,$(f))))

.PHONY: unit
unit: $(UNIT_BIN)
.SECONDARY:

# What a person types. Packages are named in install.sh only.
SEEDS ?= 300
.PHONY: deps check lint demo system bench soak
deps:
	@./install.sh --deps check

# Sanitized, whatever SAN is outside; two jobs because a check machine is small.
CHECK_B := $(if $(filter 1,$(SAN)),$(B),$(B)-san)
check: deps
	@$(MAKE) -s -j2 SAN=1 B=$(CHECK_B) all unit lab script-build $(if $(wildcard tests/sim/*.c),sim-build)
	@tests/check.sh $(CHECK_B) $(SEEDS)

# Programs of the lab: the link emulator and small probes. Root rights are not needed to build them.
LAB_SRC := $(wildcard tests/system/*.c tests/bench/*.c tests/interop/*.c)
LAB_BIN := $(LAB_SRC:%.c=$(B)/%)
.PHONY: lab
lab: $(LAB_BIN)
$(B)/tests/system/% $(B)/tests/bench/% $(B)/tests/interop/%: LAB_LIBS = -lm -lsodium
$(LAB_BIN): $(B)/%: $(B)/%.o $(call lib,common)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LAB_LIBS)

demo:
	@./install.sh --deps demo
	@$(MAKE) -s -j2 B=$(B) all lab
	@B=$(B) tests/system/demo.sh

system:
	@./install.sh --deps system
	@$(MAKE) -s -j2 B=$(B) all lab
	@B=$(B) tests/system/all.sh

bench-failover:
	@./install.sh --deps bench
	@$(MAKE) -s -j2 B=$(B) all lab
	@B=$(B) tests/bench/failover.sh

.PHONY: interop
interop:
	@./install.sh --deps system
	@$(MAKE) -s -j2 B=$(B) all lab
	@B=$(B) tests/interop/interop.sh

# Every program that Debian packages, with proof that none goes around plait; MORE="--write" brings the table up to date.
.PHONY: apps
apps:
	@./install.sh --deps apps
	@$(MAKE) -s -j2 B=$(B) all lab
	@B=$(B) tests/system/apps.sh $(MORE)

# The test suites of others, natively and under the shim: CPython's as installed; libuv's, libevent's and curl's are fetched as
# source packages and built below SUITES.
SUITES ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/plait-suites
.PHONY: suites
suites:
	@./install.sh --deps suites
	@$(MAKE) -s -j2 B=$(B) all lab
	@tests/system/suites_build.sh $(SUITES)
	@B=$(B) tests/system/suites.sh $(MORE)
	@B=$(B) tests/system/suites_built.sh $(MORE) $(SUITES)

bench:
	@./install.sh --deps bench
	@$(MAKE) -s -j2 B=$(B) all lab sim-build
	@B=$(B) tests/bench/bench.sh

# SECONDS=3600 is an hour.
soak:
	@./install.sh --deps check
	@$(MAKE) -s -j2 B=$(B) all lab
	@B=$(B) tests/system/soak.sh $(if $(filter file,$(origin SECONDS)),3600,$(SECONDS)) $(SEED)

lint:
	@./install.sh --deps lint
	@tests/lint/lint.sh

# The simulator: seeds.txt first, then SEEDS seeds from FIRST on; or the one SEED, with TRACE=1 told as text.
SIM_OBJS := $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim/*.c))
FIRST ?= 1
JOBS ?= 2
.PHONY: sim sim-build sim-buffers sim-fairness sim-scenarios sim-grid
sim-build: $(B)/tests/sim/sim
$(B)/tests/sim/sim: $(SIM_OBJS) $(LIBS_ENGINE)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lsodium -lm
$(B)/tests/unit/sim/test_%: $(B)/tests/unit/sim/test_%.o $(B)/tests/sim/link.o
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ -lcunit
sim: sim-build
	@$(B)/tests/sim/sim $(if $(PROFILE),--profile $(PROFILE)) $(if $(SEED),--seed $(SEED) $(if $(TRACE),--trace),\
		$(if $(PROFILE),,--list tests/sim/seeds.txt) --first $(FIRST) --seeds $(SEEDS) --jobs $(JOBS))
sim-scenarios: sim-build
	@$(B)/tests/sim/sim --scenarios $(if $(ONLY),--only "$(ONLY)") $(if $(SCHEDULER),--scheduler $(SCHEDULER)) \
		$(if $(CONGESTION),--congestion $(CONGESTION)) $(if $(TRACE),--trace)
# What buffers are to do, tests/sim/buffers.h.
sim-buffers: sim-build
	@$(B)/tests/sim/sim --buffers $(if $(ONLY),--only "$(ONLY)")
sim-fairness: sim-build
	@$(B)/tests/sim/sim --fairness
# Every controller and scheduler over a grid of rate, delay, loss and queue; fairness at a shared bottleneck.
sim-grid: sim-build
	@$(B)/tests/sim/sim --grid

# The sequences of the seeds, played; and told as text into docs/traces/.
TRACES := fastclose-rst fastclose-rst-all-lost fastclose-rst-all-lost-plain fastclose-ack break-before-make
.PHONY: sim-stories traces traces-check
sim-stories: sim-build
	@$(B)/tests/sim/sim --stories $(if $(ONLY),--only $(ONLY)) $(if $(TRACE),--trace)
traces: sim-build
	@mkdir -p docs/traces
	@for t in $(TRACES); do $(B)/tests/sim/sim --stories --only $$t --trace >docs/traces/$$t.txt || exit 1; done
traces-check: sim-build
	@tests/sim/traces.sh $(B)/tests/sim/sim $(TRACES)

# Packet scripts, tests/script/README.md: all of them, or ONLY= some. self/ holds those that must fail.
SCRIPT_OBJS := $(patsubst %.c,$(B)/%.o,$(wildcard tests/script/*.c))
SCRIPTS := $(sort $(filter-out tests/script/include/% tests/script/self/%,$(shell find tests/script -name '*.pkt')))
.PHONY: script script-build
script-build: $(B)/tests/script/script
$(B)/tests/script/script: $(SCRIPT_OBJS) $(LIBS_ENGINE)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lsodium -lm
script: script-build
	@tests/script/run.sh $(B)/tests/script/script $(or $(ONLY),$(SCRIPTS))

# Fuzzers: tests/fuzz/fuzz_NAME.c, linked with FUZZ_DEPS_NAME. Under gcc each brings a main that tries random inputs and
# replays files (tests/fuzz/fuzz_main.h); for libFuzzer see there. New seeds every run unless SEED says where to begin.
SECONDS ?= 30
FUZZ_DEPS_segment := tunneld/wire common
FUZZ_DEPS_seal := tunneld/seal common
FUZZ_DEPS_subflow := tunneld/tcp tunneld/wire common
FUZZ_DEPS_engine := tunneld/mptcp tunneld/tcp tunneld/wire common
FUZZ_DEPS_convert := tunneld/mptcp tunneld/tcp tunneld/wire common
FUZZ_DEPS_local_msg := common
FUZZ_DEPS_config := tunneld/mptcp tunneld/tcp tunneld/seal tunneld/wire common
FUZZ_OBJS_config := $(B)/o/tunneld/config/config.o $(B)/o/tunneld/config/config_value.o
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BIN := $(FUZZ_SRC:%.c=$(B)/%)
define fuzz_rule
$(B)/tests/fuzz/fuzz_$(1): $(B)/tests/fuzz/fuzz_$(1).o $(FUZZ_OBJS_$(1)) $(foreach f,$(FUZZ_DEPS_$(1)),$(call lib,$(f)))
	$$(Q)$$(CC) $$(ALL_CFLAGS) $$(LDFLAGS) $$(FUZZ_LINK) -o $$@ $$^ $$(CRYPTO) -ljansson -lm
endef
$(foreach f,$(FUZZ_SRC:tests/fuzz/fuzz_%.c=%),$(eval $(call fuzz_rule,$(f))))
.PHONY: fuzz fuzz-build
fuzz-build: $(FUZZ_BIN)
# Each first replays its corpus (tests/fuzz/corpus/NAME), where every finding is kept, then tries SECONDS of new inputs.
fuzz:
	@$(MAKE) -s SAN=1 B=$(CHECK_B) fuzz-build
	@passed=0; failed=0; for f in $(FUZZ_SRC:tests/fuzz/fuzz_%.c=%); do \
		if $(CHECK_B)/tests/fuzz/fuzz_$$f $$(ls -d tests/fuzz/corpus/$$f/* 2>/dev/null || echo -runs=1) && \
			$(CHECK_B)/tests/fuzz/fuzz_$$f -seed=$(or $(SEED),$$(date +%s)000000) -max_total_time=$(SECONDS); \
		then passed=$$((passed + 1)); else failed=$$((failed + 1)); fi; \
	done; echo "fuzz: $$passed passed, $$failed failed"; test $$failed -eq 0
# The same under libFuzzer, which learns from what it reaches; what it learns stays in the build directory.
.PHONY: fuzz-libfuzzer
FUZZ_B = $(B)-libfuzzer
fuzz-libfuzzer:
	@$(MAKE) -s CC=clang SAN=1 LIBFUZZER=1 B=$(FUZZ_B) fuzz-build
	@passed=0; failed=0; for f in $(or $(ONLY),$(FUZZ_SRC:tests/fuzz/fuzz_%.c=%)); do \
		mkdir -p $(FUZZ_B)/learnt/$$f tests/fuzz/corpus/$$f; \
		if $(FUZZ_B)/tests/fuzz/fuzz_$$f -max_total_time=$(SECONDS) -print_final_stats=1 -verbosity=0 \
			-artifact_prefix=$(FUZZ_B)/$$f- $(FUZZ_B)/learnt/$$f tests/fuzz/corpus/$$f; \
		then passed=$$((passed + 1)); else failed=$$((failed + 1)); fi; \
	done; echo "fuzz: $$passed passed, $$failed failed"; test $$failed -eq 0

# What the tests reach of wire/, tcp/ and mptcp/: lines and branches, by gcov. Unit tests, packet scripts, fuzz corpora, SEEDS seeds,
# scenarios and stories of the simulator. MISSED=1 lists the lines that nothing reaches.
.PHONY: coverage
COV_B = $(B)-coverage
coverage:
	@$(MAKE) -s -j2 SAN=0 B=$(COV_B) CFLAGS="-O0 -g --coverage" unit script-build sim-build fuzz-build
	@find $(COV_B) -name '*.gcda' -delete
	@for t in $$(find $(COV_B)/tests/unit -name 'test_*' -type f -perm -u+x | grep -E '/(wire|tcp|mptcp)/'); do $$t >/dev/null 2>&1; done; \
		$(COV_B)/tests/script/script $(SCRIPTS) >/dev/null 2>&1; \
		for f in $(FUZZ_SRC:tests/fuzz/fuzz_%.c=%); do $(COV_B)/tests/fuzz/fuzz_$$f tests/fuzz/corpus/$$f/* >/dev/null 2>&1; done; \
		for how in "--first 1 --seeds $(SEEDS)" "--profile flap --first 1 --seeds 100" --scenarios --stories; do \
			$(COV_B)/tests/sim/sim $$how --jobs $(JOBS) >/dev/null 2>&1; done; \
		tests/script/coverage.py $(COV_B) $(if $(MISSED),--missed)

# The engine as a shared object for packetdrill (tests/packetdrill/README.md). A test tool: nothing links or installs it.
.PHONY: packetdrill-so
packetdrill-so: $(B)/packetdrill-plait.so
$(B)/packetdrill-plait.so: tests/packetdrill/so.c tests/packetdrill/packets.c tests/packetdrill/alg.c $(foreach f,tunneld/mptcp tunneld/tcp tunneld/wire common,$(wildcard $(f)/*.c))
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) -fPIC -shared -fvisibility=hidden $(LDFLAGS) -o $@ $^ -lsodium -lpthread -lm
