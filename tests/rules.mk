# SPDX-License-Identifier: MIT
# Unit tests: tests/unit/FOLDER/test_NAME.c is one program, linked with what FOLDER may use and no more.

UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_BIN := $(UNIT_SRC:%.c=$(B)/%)

define unit_rule
$(B)/tests/unit/$(1)/test_%: $(B)/tests/unit/$(1)/test_%.o $(foreach f,$(DEPS_$(1)),$(call lib,$(f)))
	$$(Q)$$(CC) $$(ALL_CFLAGS) -o $$@ $$^ -lcunit $$(SYS_tunneld)
endef
$(foreach f,common wire tcp mptcp seal io shim,$(eval $(call unit_rule,$(f))))

.PHONY: unit
unit: $(UNIT_BIN)
.SECONDARY:

# What a person types. Packages are named in install.sh only.
SEEDS ?= 300
.PHONY: deps check lint demo system bench
deps:
	@./install.sh --deps check

# Sanitized, whatever SAN is outside; two jobs because a check machine is small.
CHECK_B := $(if $(filter 1,$(SAN)),$(B),$(B)-san)
check: deps
	@$(MAKE) -s -j2 SAN=1 B=$(CHECK_B) all unit lab $(if $(wildcard tests/sim/*.c),sim-build)
	@tests/check.sh $(CHECK_B) $(SEEDS)

# Programs of the lab: the link emulator and small probes. Root rights are not needed to build them.
LAB_SRC := $(wildcard tests/system/*.c tests/bench/*.c)
LAB_BIN := $(LAB_SRC:%.c=$(B)/%)
.PHONY: lab
lab: $(LAB_BIN)
$(B)/tests/system/% $(B)/tests/bench/%: LAB_LIBS = -lm
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

bench:
	@./install.sh --deps bench
	@$(MAKE) -s -j2 B=$(B) all lab
	@B=$(B) tests/bench/bench.sh

lint:
	@./install.sh --deps lint
	@tests/lint/lint.sh
