# SPDX-License-Identifier: MIT
# plait. `make` builds into build/; `make demo` and `make check` install what they need first.
#
# Every folder becomes one static archive; who may link whom is DEPS_<folder>, the same table as in
# tunneld/README.md. V=1 shows commands. SAN=1 builds with ASan and UBSan into build-san/.

CC      ?= gcc
PREFIX  ?= /usr/local
VERSION := 0.1.0
SAN     ?= 0
B       := build$(if $(filter 1,$(SAN)),-san)$(if $(findstring clang,$(CC)),-clang)

WARN    := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Werror
CFLAGS  ?= -O2 -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. -DPLAIT_VERSION='"$(VERSION)"' $(WARN) $(CFLAGS) -fno-strict-aliasing -MMD -MP
ifeq ($(SAN),1)
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ALL_CFLAGS += $(SANFLAGS)
endif

# folder -> archive, lowest last
FOLDERS := tunneld/io tunneld/mptcp tunneld/tcp tunneld/seal tunneld/wire common
lib      = $(B)/$(subst /,_,$(1)).a
objs     = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)/*.c))
LIBS_ENGINE := $(call lib,tunneld/mptcp) $(call lib,tunneld/tcp) $(call lib,tunneld/wire) $(call lib,common)
LIBS_ALL := $(foreach f,$(FOLDERS),$(call lib,$(f)))

SYS_tunneld := -lev -lsodium -ljansson -lmicrohttpd -lmnl -lpthread -lm
DEPS_common := common
DEPS_wire   := tunneld/wire common
DEPS_tcp    := tunneld/tcp tunneld/wire common
DEPS_mptcp  := tunneld/mptcp tunneld/tcp tunneld/wire common
DEPS_seal   := tunneld/seal common
DEPS_io     := tunneld/io common
DEPS_shim   := common
DEPS_daemon := $(FOLDERS)

Q := $(if $(V),,@)

.DEFAULT_GOAL := all
.PHONY: all
all: $(B)/tunneld $(B)/plait $(B)/libplait.so

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

define archive
$(call lib,$(1)): $(call objs,$(1))
	@mkdir -p $$(@D)
	$(Q)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call archive,$(f))))

$(B)/tunneld: $(call objs,tunneld) $(LIBS_ALL)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(SYS_tunneld)

# shim/lib is the preload library (freestanding, see shim/README.md), shim/cmd the plait command.
include shim/rules.mk
include tests/rules.mk

.PHONY: clean
clean:
	rm -rf build build-san build-clang build-san-clang

-include $(shell find $(B) -name '*.d' 2>/dev/null)
