/* SPDX-License-Identifier: MIT */
/*
 * The values that a configuration is made of: where in the file each stands, what is said when it is
 * wrong, and one reading function a type. config.c has the tables of keys that use them. A reading
 * function writes what it fills only when the value is good; otherwise it complains, and reading goes on,
 * so that one run of `tunneld --check` shows all that is wrong.
 */
#ifndef PLAIT_CONFIG_VALUE_H
#define PLAIT_CONFIG_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct reader {
	const char *file;
	FILE *to;
	unsigned complaints;
};

/* A place in the file: its value, and how it hangs from the place above. Lives in the caller's frame. */
struct place {
	struct reader *r;
	json_t *json;
	const struct place *parent;   /* NULL: the root */
	const char *name;             /* of a member; NULL: item `index` of an array */
	size_t index;
};

/* Every JSON value has one reading function. It may rely on p->json not being NULL. */
typedef void (*read_fn)(struct place *p, void *to);

struct key {
	const char *name;
	read_fn read;
	size_t offset;     /* of what it fills, in the struct that the object fills */
	bool required;
};

/* One line: file, JSON path, text. Counted: a file with complaints is refused. */
void complain(const struct place *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Where a member of an object, or an item of an array, stands; the value is borrowed and may be NULL. */
struct place place_member(const struct place *parent, const char *name, json_t *json);
struct place place_item(const struct place *parent, size_t i);

/* An object by its table of keys; unknown keys and missing required ones are complaints. */
void read_object(struct place *p, const struct key *keys, size_t count, void *to);
#define OBJECT(p, keys, to) read_object(p, keys, sizeof (keys) / sizeof *(keys), to)

/* Texts: never empty, no NUL inside. text_of() returns the value's own (borrowed), NULL after a complaint. */
const char *text_of(struct place *p);
void read_text(struct place *p, void *to);           /* char *, owned by the struct it fills */
void read_socket_path(struct place *p, void *to);    /* the same, and fits a sockaddr_un */
void read_name(struct place *p, void *to);           /* char[CONFIG_NAME_MAX] */
void read_interface(struct place *p, void *to);      /* char[CONFIG_NAME_MAX], an interface's name in form */

void read_bool(struct place *p, void *to);
bool whole_number(struct place *p, uint64_t most, uint64_t *out);    /* 0 to `most`; false: it complained */

void read_key(struct place *p, void *to);                /* uint8_t[CONFIG_KEY_SIZE] */
void read_endpoint(struct place *p, void *to);           /* struct addr with a port */
void read_loopback_endpoint(struct place *p, void *to);  /* the same, of this host's loopback */
void read_ip(struct place *p, void *to);                 /* struct addr without a port */
void read_cidrs(struct place *p, void *to);              /* struct config_cidrs; its list is owned by it */

bool is_array(struct place *p, size_t least, size_t most);   /* with so many items; false: it complained */

#endif
