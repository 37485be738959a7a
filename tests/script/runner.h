/* SPDX-License-Identifier: MIT */
/* What the files of the runner share; script.h is what it shares with the world behind it. */
#ifndef PLAIT_SCRIPT_RUNNER_H
#define PLAIT_SCRIPT_RUNNER_H

#include "tests/script/script.h"

enum { WAIT_MAX_US = 60 * 1000 * 1000 };

struct when { bool any; usec_t from, to; }; /* absolute */

extern usec_t base;     /* the script's time: that of the line before */
extern unsigned checks; /* how much was looked at: a script that looks at nothing proves nothing */

/* --- words.c --- */
extern const char *const result_words[];
char *word(char **at);
char *word_needed(char **at, const char *what);
int64_t number(const char *text);
int64_t number_needed(char **at, const char *what);
struct addr address(const char *text);
bool on(const char *text);
usec_t seconds(const char *text, char **end);
enum open_result result_of(const char *text);

/* --- settings.c --- */
void set(char *rest);
void declare_sub(unsigned sub, char *rest);
void sub_of_peer(unsigned sub);

/* --- segments.c --- */
void expect_segment(unsigned sub, struct when when, char *rest);
void give_segment(unsigned sub, char *rest);

/* --- application.c --- */
void call_connect(unsigned conn, char *rest);
void call_options(unsigned conn, char *rest);
void call_write(unsigned conn, char *rest);
void call_read(unsigned conn, char *rest);
void call_readable(unsigned conn, char *rest);
void call_path(char *rest);
void call_fault(char *rest);
void expect_told(unsigned conn, struct when when, char *rest);
void tell_engine(enum event_kind kind, unsigned conn, const char *what);
void call_dialled(unsigned conn, char *rest);

/* --- looks.c --- */
void check_conn(unsigned conn, char *rest);
void check_sub(unsigned sub, char *rest);
void check_engine(char *rest);
void check_counter(char *rest);

#endif
