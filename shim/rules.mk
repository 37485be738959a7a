# SPDX-License-Identifier: MIT
# libplait.so and the plait command. The library is freestanding: no libc is linked, no sanitizer, no stack protector, and
# nothing is exported but what libplait.map names. SAN=1 changes the command only.

SHIM_LIB_SRC := $(wildcard shim/lib/*.c) shim/lib/syscall.S common/local_msg.c
SHIM_LIB_OBJ := $(addprefix $(B)/shim/so/,$(addsuffix .o,$(basename $(notdir $(SHIM_LIB_SRC)))))
# syscall.c and syscall.S would share a name
SHIM_LIB_OBJ := $(sort $(SHIM_LIB_OBJ)) $(B)/shim/so/syscall_entry.o
SHIM_LIB_FLAGS = $(filter-out -fsanitize% -fno-sanitize% -fno-omit-frame-pointer,$(ALL_CFLAGS)) \
	-fPIC -ffreestanding -fno-builtin -fno-stack-protector -fvisibility=hidden -fasynchronous-unwind-tables \
	$(if $(findstring clang,$(CC)),,-fno-tree-loop-distribute-patterns)

$(B)/shim/so/%.o: shim/lib/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(SHIM_LIB_FLAGS) -c -o $@ $<
$(B)/shim/so/%.o: common/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(SHIM_LIB_FLAGS) -c -o $@ $<
$(B)/shim/so/syscall_entry.o: shim/lib/syscall.S
	@mkdir -p $(@D)
	$(Q)$(CC) -fPIC -c -o $@ $<

# One segment less for ld.so to map: a third of what the library costs a process that starts.
$(B)/libplait.so: $(SHIM_LIB_OBJ) shim/lib/libplait.map
	$(Q)$(CC) -shared -nostdlib -Wl,--version-script=shim/lib/libplait.map -Wl,-soname,libplait.so -Wl,-z,relro,-z,now,-z,noseparate-code \
		-Wl,--build-id=sha1 -o $@ $(SHIM_LIB_OBJ)

# The hooks again, without their exported names: plait run's trap calls them on borrowed sockets.
TRAP_OBJ := $(patsubst %,$(B)/shim/trap/%.o,connect info names options park route sockaddr)
$(B)/shim/trap/%.o: shim/lib/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DPLAIT_CMD -c -o $@ $<

$(B)/plait: $(patsubst %.c,$(B)/%.o,$(wildcard shim/cmd/*.c)) $(TRAP_OBJ) $(call lib,common)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lsodium

# The stand-alone daemon that proves the shim without a tunnel: tests/system/shim.sh
PARK_OBJ := $(patsubst %.c,$(B)/o/%.o,$(wildcard tunneld/io/park*.c))
$(B)/tests/system/parkd: LAB_LIBS = $(call lib,common) -lev
$(B)/tests/system/parkd: $(PARK_OBJ)
# The probe is preloaded under and so not sanitized: ASan insists on being the first library.
PROBE_SRC := $(wildcard tests/probe/*.c)
PROBE_FLAGS = $(filter-out $(SANFLAGS),$(ALL_CFLAGS))
$(B)/tests/probe/%.o: tests/probe/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(PROBE_FLAGS) -c -o $@ $<
$(B)/tests/probe/probe: $(PROBE_SRC:%.c=$(B)/%.o)
	$(Q)$(CC) $(PROBE_FLAGS) -o $@ $^ -lpthread
# storm too.
$(B)/tests/system/storm.o $(B)/tests/system/storm: private ALL_CFLAGS := $(filter-out $(SANFLAGS),$(ALL_CFLAGS))
# The same statically linked: what only the trap of plait run can reach.
$(B)/tests/probe/probe_static: $(PROBE_SRC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -MMD -MP,$(PROBE_FLAGS)) -DPROBE_STATIC -static -o $@ $^ -lpthread
lab: $(B)/tests/probe/probe $(B)/tests/probe/probe_static

$(B)/tests/unit/shim/test_json: $(B)/shim/cmd/json.o
