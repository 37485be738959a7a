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
