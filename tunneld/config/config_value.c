/* SPDX-License-Identifier: MIT */
#include "tunneld/config/config_value.h"

#include <net/if.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "tunneld/config/config.h"
#include "tunneld/seal/seal.h"

/* As a JSON path; a name that is no identifier stands in brackets, made harmless for a terminal. */
static void print_path(const struct place *p, FILE *to)
{
	bool plain = true;

	if (!p->parent) {
		fputc('$', to);
		return;
	}
	print_path(p->parent, to);
	if (!p->name) {
		fprintf(to, "[%zu]", p->index);
		return;
	}
	for (const char *c = p->name; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_'))
			plain = false;
	if (plain && *p->name) {
		fprintf(to, ".%s", p->name);
		return;
	}
	fputs("[\"", to);
	for (const char *c = p->name; *c; c++)
		fputc((unsigned char)*c < ' ' || *c == 0x7f || *c == '"' ? '?' : *c, to);
	fputs("\"]", to);
}

void complain(const struct place *p, const char *format, ...)
{
	va_list args;

	p->r->complaints++;
	fprintf(p->r->to, "%s: ", p->r->file);
	print_path(p, p->r->to);
	fputs(": ", p->r->to);
	va_start(args, format);
	vfprintf(p->r->to, format, args);
	va_end(args);
	fputc('\n', p->r->to);
}

struct place place_member(const struct place *parent, const char *name, json_t *json)
{
	return (struct place){ .r = parent->r, .json = json, .parent = parent, .name = name };
}

struct place place_item(const struct place *parent, size_t i)
{
	return (struct place){ .r = parent->r, .json = json_array_get(parent->json, i), .parent = parent, .index = i };
}

void read_object(struct place *p, const struct key *keys, size_t count, void *to)
{
	const char *name;
	json_t *value;

	if (!json_is_object(p->json)) {
		complain(p, "must be an object");
		return;
	}
	json_object_foreach(p->json, name, value) {
		size_t i = 0;

		while (i < count && strcmp(keys[i].name, name) != 0)
			i++;
		if (i == count) {
			struct place odd = place_member(p, name, value);
			complain(&odd, "is not a key known here");
		}
	}
	/* In the table's order, so that complaints come in the same order whatever the file's. */
	for (size_t i = 0; i < count; i++) {
		struct place at = place_member(p, keys[i].name, json_object_get(p->json, keys[i].name));

		if (at.json)
			keys[i].read(&at, (char *)to + keys[i].offset);
		else if (keys[i].required)
			complain(&at, "is missing");
	}
}

const char *text_of(struct place *p)
{
	if (!json_is_string(p->json)) {
		complain(p, "must be a string");
		return NULL;
	}
	if (strlen(json_string_value(p->json)) != json_string_length(p->json) || !json_string_length(p->json)) {
		complain(p, "must not be empty nor hold a NUL");
		return NULL;
	}
	return json_string_value(p->json);
}

void read_text(struct place *p, void *to)
{
	const char *text = text_of(p);

	if (text)
		*(char **)to = strdup(text);
}

void read_socket_path(struct place *p, void *to)
{
	const char *text = text_of(p);

	if (!text)
		return;
	if (strlen(text) >= sizeof ((struct sockaddr_un *)0)->sun_path)
		complain(p, "is longer than a socket's path may be (%zu bytes)", sizeof ((struct sockaddr_un *)0)->sun_path - 1);
	else
		*(char **)to = strdup(text);
}

void read_name(struct place *p, void *to)
{
	const char *text = text_of(p);

	if (!text)
		return;
	if (strlen(text) >= CONFIG_NAME_MAX)
		complain(p, "is longer than %d bytes", CONFIG_NAME_MAX - 1);
	else
		strcpy(to, text);
}

void read_interface(struct place *p, void *to)
{
	const char *text = text_of(p);

	if (!text)
		return;
	if (strlen(text) >= IF_NAMESIZE || strchr(text, '/') || strchr(text, ' '))
		complain(p, "is not an interface's name");
	else
		strcpy(to, text);
}

void read_bool(struct place *p, void *to)
{
	if (json_is_boolean(p->json))
		*(bool *)to = json_is_true(p->json);
	else
		complain(p, "must be true or false");
}

bool whole_number(struct place *p, uint64_t most, uint64_t *out)
{
	if (!json_is_integer(p->json) || json_integer_value(p->json) < 0) {
		complain(p, "must be a whole number, 0 or more");
		return false;
	}
	*out = (uint64_t)json_integer_value(p->json);
	if (*out > most) {
		complain(p, "must be at most %llu", (unsigned long long)most);
		return false;
	}
	return true;
}

void read_key(struct place *p, void *to)
{
	const char *text = text_of(p);

	if (text && key_from_text(to, text) != ERR_OK)
		complain(p, "must be a key: 32 bytes in base64, 44 characters");
}

static void read_address(struct place *p, void *to, bool port)
{
	const char *text = text_of(p);
	struct addr a;

	if (!text)
		return;
	if (addr_parse(&a, text) != ERR_OK)
		complain(p, port ? "must be an address with a port, as 192.0.2.1:4500 or [2001:db8::1]:4500"
				 : "must be an address, as 192.0.2.1 or 2001:db8::1");
	else if (port && !a.port)
		complain(p, "must have a port, as in %s:4500", text);
	else if (!port && a.port)
		complain(p, "must not have a port");
	else
		*(struct addr *)to = a;
}

void read_endpoint(struct place *p, void *to) { read_address(p, to, true); }
void read_ip(struct place *p, void *to) { read_address(p, to, false); }

void read_loopback_endpoint(struct place *p, void *to)
{
	struct addr a = { 0 };

	read_address(p, &a, true);
	if (a.family && !addr_is_loopback(&a))
		complain(p, "must be a loopback address: what it shows is not for others");
	else
		*(struct addr *)to = a;
}

bool is_array(struct place *p, size_t least, size_t most)
{
	size_t n = json_array_size(p->json);

	if (!json_is_array(p->json))
		complain(p, "must be an array");
	else if (n < least)
		complain(p, "must have at least %zu item%s", least, least == 1 ? "" : "s");
	else if (n > most)
		complain(p, "must have at most %zu items", most);
	else
		return true;
	return false;
}

void read_cidrs(struct place *p, void *to)
{
	struct config_cidrs *out = to;

	if (!is_array(p, 0, 65536))
		return;
	out->list = calloc(json_array_size(p->json) + 1, sizeof *out->list);
	if (!out->list) {
		complain(p, "out of memory");
		return;
	}
	for (size_t i = 0; i < json_array_size(p->json); i++) {
		struct place at = place_item(p, i);
		const char *text = text_of(&at);

		if (text && cidr_parse(&out->list[out->count], text) != ERR_OK)
			complain(&at, "must be an address block, as 10.0.0.0/8 or 2001:db8::/32");
		else if (text)
			out->count++;
	}
}
