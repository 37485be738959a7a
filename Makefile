# SPDX-License-Identifier: MIT
# plait. `make` builds into build/; `make demo` and `make check` install what they need first.
#
# Every folder becomes one static archive; who may link whom is DEPS_<folder>, the same table as in
# tunneld/README.md. V=1 shows commands. SAN=1 builds with ASan and UBSan into build-san/,
# SAN=thread with TSan into build-tsan/.

CC      ?= gcc
PREFIX  ?= /usr/local
VERSION := 0.1.0
SAN     ?= 0
B       := build$(if $(filter 1,$(SAN)),-san)$(if $(filter thread,$(SAN)),-tsan)$(if $(findstring clang,$(CC)),-clang)

WARN    := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Werror
CFLAGS  ?= -O2 -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. -DPLAIT_VERSION='"$(VERSION)"' $(WARN) $(CFLAGS) -fno-strict-aliasing -MMD -MP
ifeq ($(SAN),1)
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ALL_CFLAGS += $(SANFLAGS)
endif

ifeq ($(SAN),thread)
SANFLAGS := -fsanitize=thread -fno-omit-frame-pointer
ALL_CFLAGS += $(SANFLAGS)
endif

# Only for `make fuzz-libfuzzer`.
ifeq ($(LIBFUZZER),1)
ALL_CFLAGS += -fsanitize=fuzzer-no-link -DPLAIT_LIBFUZZER
FUZZ_LINK := -fsanitize=fuzzer
endif

# folder -> archive, lowest last
FOLDERS := tunneld/io tunneld/fault tunneld/mptcp tunneld/tcp tunneld/seal tunneld/wire common
lib      = $(B)/$(subst /,_,$(1)).a
# under o/, because $(B)/tunneld is the program
objs     = $(patsubst %.c,$(B)/o/%.o,$(wildcard $(1)/*.c))
LIBS_ENGINE := $(call lib,tunneld/mptcp) $(call lib,tunneld/tcp) $(call lib,tunneld/wire) $(call lib,common)
LIBS_ALL := $(foreach f,$(FOLDERS),$(call lib,$(f)))

# Ciphers: libsodium, and where it is found a faster provider (tunneld/seal/aead.h). IPSEC_MB=0: not even then.
IPSEC_MB ?= $(shell printf '\043include <intel-ipsec-mb.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo 1)
ifeq ($(IPSEC_MB),1)
CRYPTO := -lsodium -lIPSec_MB
ALL_CFLAGS += -DPLAIT_IPSEC_MB
else
CRYPTO := -lsodium
endif

SYS_tunneld := -lev $(CRYPTO) -ljansson -lmicrohttpd -lmnl -lpthread -lm
DEPS_common := common
DEPS_wire   := tunneld/wire common
DEPS_tcp    := tunneld/tcp tunneld/wire common
DEPS_mptcp  := tunneld/mptcp tunneld/tcp tunneld/wire common
DEPS_seal   := tunneld/seal common
DEPS_fault  := tunneld/fault common
DEPS_io     := tunneld/io common
DEPS_shim   := common
# These five know each other's tables and are linked as they are; the unit tests of each take what is below.
ROOMS := tunneld tunneld/daemon tunneld/status tunneld/paths tunneld/config
DEPS_daemon := $(FOLDERS)
DEPS_status := $(FOLDERS)
DEPS_paths  := $(FOLDERS)
DEPS_config := $(FOLDERS)

Q := $(if $(V),,@)

.DEFAULT_GOAL := all
.PHONY: all
all: $(B)/tunneld $(B)/plait $(B)/libplait.so

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<
$(B)/o/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

define archive
$(call lib,$(1)): $(call objs,$(1))
	@mkdir -p $$(@D)
	$(Q)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call archive,$(f))))

$(B)/tunneld: $(foreach r,$(ROOMS),$(call objs,$(r))) $(LIBS_ALL)
	@test ! -d $@ || rm -rf $@
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(SYS_tunneld)

# shim/lib is the preload library (freestanding, see shim/README.md), shim/cmd the plait command.
include shim/rules.mk
include tests/rules.mk

# Names are the contract's: libplait.so is where ld.so looks, so that LD_PRELOAD=libplait.so works after ldconfig.
.PHONY: install uninstall
D := $(DESTDIR)$(PREFIX)
install: all
	install -d $(D)/bin $(D)/sbin $(D)/lib/systemd/system $(D)/share/doc/plait/examples
	install -m 755 $(B)/plait $(D)/bin/plait
	install -m 755 $(B)/tunneld $(D)/sbin/tunneld
	install -m 755 $(B)/libplait.so $(D)/lib/libplait.so
	for page in man/*.[1-8]; do d=$(D)/share/man/man$${page##*.}; \
		install -d $$d && install -m 644 $$page $$d/ || exit 1; done
	install -m 644 LICENSE README.md docs/*.md $(D)/share/doc/plait/
	install -m 644 config/*.json $(D)/share/doc/plait/examples/
	sed 's,@PREFIX@,$(PREFIX),' config/tunneld.service >$(D)/lib/systemd/system/tunneld.service
	$(if $(DESTDIR),,-ldconfig 2>/dev/null)

uninstall:
	rm -f $(D)/bin/plait $(D)/sbin/tunneld $(D)/lib/libplait.so $(D)/lib/systemd/system/tunneld.service
	rm -f $(foreach page,$(notdir $(wildcard man/*.[1-8])),$(D)/share/man/man$(subst .,,$(suffix $(page)))/$(page))
	rm -rf $(D)/share/doc/plait
	$(if $(DESTDIR),,-ldconfig 2>/dev/null)

.PHONY: clean
clean:
	rm -rf build build-san build-clang build-san-clang

-include $(shell find $(B) -name '*.d' 2>/dev/null)
