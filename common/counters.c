/* SPDX-License-Identifier: MIT */
#include "common/counters.h"

const char *const counter_names[CNT_MAX] = {
#define COUNTER(name, help) #name,
#include "common/counters.def"
#undef COUNTER
};

const char *const counter_helps[CNT_MAX] = {
#define COUNTER(name, help) help,
#include "common/counters.def"
#undef COUNTER
};
