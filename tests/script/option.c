/* SPDX-License-Identifier: MIT */
#include "tests/script/script.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
#define X(n) #n,
	NAMES(X)
#undef X
};
static const struct { const char *word, *takes; } words[] = {
#define X(w, t) { #w, t },
	WORDS(X)
#undef X
};
/* The word that a bare number, address or block is of. */
static const uint8_t bare[NAME_COUNT] = {
	[NAME_mss] = WORD_n, [NAME_wscale] = WORD_n, [NAME_uto] = WORD_n, [NAME_sack] = WORD_block, [NAME_raw] = WORD_hex,
	[NAME_remove_addr] = WORD_id, [NAME_add_addr] = WORD_addr, [NAME_uperf] = WORD_n,
};

const struct field *option_field(const struct option *o, enum option_word w_)
{
	for (unsigned i = 0; i < o->field_count; i++)
		if (o->fields[i].word == w_)
			return &o->fields[i];
	return NULL;
}

static struct field *field_new(struct option *o, unsigned word)
{
	struct field *f;

	if (o->field_count == FIELDS_MAX)
		bad_script("more than %d fields in one option", FIELDS_MAX);
	f = &o->fields[o->field_count++];
	*f = (struct field){ .word = (uint8_t)word };
	return f;
}

void option_add(struct option *o, enum option_word word, enum value_kind kind, uint64_t v)
{
	struct field *f = field_new(o, word);

	f->kind = kind;
	f->v = v;
}

static bool number(const char *text, uint64_t *out)
{
	char *end;

	*out = (uint64_t)strtoll(text, &end, 0);
	if (!strncmp(text, "0x", 2))
		*out = strtoull(text, &end, 16);
	return end != text && !*end;
}

static void hex_read(struct field *f, const char *text)
{
	size_t n = strlen(text);

	if (n % 2 || n / 2 > sizeof f->hex)
		bad_script("not whole bytes of hex: %s", text);
	f->kind = VALUE_HEX;
	for (f->hex_len = 0; *text; text += 2) {
		char two[3] = { text[0], text[1], 0 }, *end;

		f->hex[f->hex_len++] = (uint8_t)strtoul(two, &end, 16);
		if (*end)
			bad_script("not hex: %s", two);
	}
}

/* One value. False: text is no value of that sort. */
static bool value_read(struct field *f, char takes, const char *text)
{
	char *colon;

	switch (takes) {
	case '#':
		f->kind = VALUE_NUMBER;
		return number(text, &f->v);
	case 'k':
	case 'c':
		f->kind = !strcmp(text, "us") ? VALUE_US : !strcmp(text, "peer") ? VALUE_PEER : !strcmp(text, "good") ? VALUE_GOOD :
			  !strcmp(text, "bad") ? VALUE_BAD : VALUE_NUMBER;
		return f->kind != VALUE_NUMBER || number(text, &f->v);
	case 'a':
		f->kind = VALUE_ADDR;
		return addr_parse(&f->addr, text) == ERR_OK;
	case 'b':
		f->kind = VALUE_BLOCK;
		f->v = (uint64_t)strtoll(text, &colon, 10);
		if (*colon != ':')
			return false;
		return number(colon + 1, &f->end);
	case 'h':
		hex_read(f, text);
		return true;
	default:
		return false;
	}
}

static void option_read(struct option *o, char *text)
{
	char *save, *word = strtok_r(text, " \t", &save);
	unsigned i;

	*o = (struct option){ 0 };
	if (!word)
		bad_script("an option without a name");
	for (i = 0; i < NAME_COUNT && strcmp(names[i], word) != 0; i++)
		;
	if (i == NAME_COUNT)
		bad_script("no option is named \"%s\"", word);
	o->name = (uint8_t)i;
	word = strtok_r(NULL, " \t", &save);
	while (word) {
		struct field *f;
		char takes;

		for (i = 0; i < WORD_COUNT && strcmp(words[i].word, word) != 0; i++)
			;
		if (i == WORD_COUNT || i == WORD_hex || i == WORD_n) {
			f = field_new(o, bare[o->name]);
			if (!value_read(f, words[f->word].takes[0], word))
				bad_script("option %s knows no \"%s\"", names[o->name], word);
			word = strtok_r(NULL, " \t", &save);
			continue;
		}
		f = field_new(o, i);
		takes = words[i].takes[0];
		word = strtok_r(NULL, " \t", &save);
		if (takes == '-')
			continue;
		if (takes == 'c' && (!word || !value_read(f, takes, word))) {
			f->kind = VALUE_GOOD; /* "csum" alone is a good one */
			continue;
		}
		if (takes != 'c' && (!word || !value_read(f, takes, word)))
			bad_script("\"%s\" of %s needs a value", words[i].word, names[o->name]);
		word = strtok_r(NULL, " \t", &save);
	}
}

void options_read(struct option_list *out, char *text)
{
	char *save;

	out->given = true;
	for (char *one = strtok_r(text, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		one += strspn(one, " \t");
		if (!strcmp(one, "...")) {
			out->more = true;
			continue;
		}
		if (!*one)
			continue;
		if (out->count == OPTIONS_MAX)
			bad_script("more than %d options", OPTIONS_MAX);
		option_read(&out->o[out->count++], one);
	}
}

static void field_print(const struct option *o, const struct field *f, FILE *to)
{
	char buf[ADDR_TEXT_MAX];

	if (bare[o->name] != f->word || f->kind == VALUE_NONE)
		fprintf(to, " %s", words[f->word].word);
	switch (f->kind) {
	case VALUE_NONE:
		break;
	case VALUE_NUMBER:
		if (f->word == WORD_flags || f->word == WORD_token || f->word == WORD_nonce || f->word == WORD_key)
			fprintf(to, " 0x%llx", (unsigned long long)f->v);
		else
			fprintf(to, " %lld", (long long)f->v);
		break;
	case VALUE_US:
		fputs(" us", to);
		break;
	case VALUE_PEER:
		fputs(" peer", to);
		break;
	case VALUE_GOOD:
		break;
	case VALUE_BAD:
		fputs(" bad", to);
		break;
	case VALUE_ADDR:
		fprintf(to, " %s", addr_print(&f->addr, buf));
		break;
	case VALUE_BLOCK:
		fprintf(to, " %lld:%lld", (long long)f->v, (long long)f->end);
		break;
	case VALUE_HEX:
		fputc(' ', to);
		for (unsigned i = 0; i < f->hex_len; i++)
			fprintf(to, "%02x", f->hex[i]);
		break;
	}
}

void options_print(const struct option_list *l, FILE *to)
{
	const char *sep = "";

	fputc('<', to);
	for (unsigned i = 0; i < l->count; i++) {
		if (l->o[i].name == NAME_nop && !w.trace)
			continue;
		fprintf(to, "%s%s", sep, names[l->o[i].name]);
		for (unsigned k = 0; k < l->o[i].field_count; k++)
			field_print(&l->o[i], &l->o[i].fields[k], to);
		sep = ", ";
	}
	fputc('>', to);
}

static bool field_same(const struct field *a, const struct field *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == VALUE_ADDR)
		return addr_eq(&a->addr, &b->addr);
	if (a->kind == VALUE_HEX)
		return a->hex_len == b->hex_len && !memcmp(a->hex, b->hex, a->hex_len);
	return a->v == b->v && a->end == b->end;
}

/* dack stands for dack4 or dack8, dsn for dsn4 or dsn8. */
static bool word_matches(unsigned want, unsigned seen)
{
	return want == seen || (want == WORD_dack && (seen == WORD_dack4 || seen == WORD_dack8)) ||
	       (want == WORD_dsn && (seen == WORD_dsn4 || seen == WORD_dsn8));
}

static const char *option_differs(const struct option *want, const struct option *seen)
{
	static char text[128];
	bool used[FIELDS_MAX] = { false };

	for (unsigned i = 0; i < want->field_count; i++) {
		const struct field *f = &want->fields[i];
		unsigned k = 0;

		while (k < seen->field_count && (used[k] || !word_matches(f->word, seen->fields[k].word)))
			k++;
		if (k == seen->field_count) {
			snprintf(text, sizeof text, "%s without \"%s\"", names[want->name], words[f->word].word);
			return text;
		}
		used[k] = true;
		if (!field_same(f, &seen->fields[k])) {
			snprintf(text, sizeof text, "\"%s\" of %s", words[f->word].word, names[want->name]);
			return text;
		}
	}
	for (unsigned k = 0; k < seen->field_count; k++)
		if (!used[k] && !strchr(words[seen->fields[k].word].takes, '~')) {
			snprintf(text, sizeof text, "%s with \"%s\"", names[want->name], words[seen->fields[k].word].word);
			return text;
		}
	return NULL;
}

/* NOPs are padding, unless the script names one: then the layout is what it is about. */
const char *options_differ(const struct option_list *want, const struct option_list *seen)
{
	static char text[128];
	bool layout = false;
	unsigned k = 0;

	for (unsigned i = 0; i < want->count; i++)
		layout |= want->o[i].name == NAME_nop || want->o[i].name == NAME_eol;
	for (unsigned i = 0; i < want->count; i++) {
		const char *why;

		while (!layout && k < seen->count && seen->o[k].name == NAME_nop)
			k++;
		if (k == seen->count || seen->o[k].name != want->o[i].name) {
			snprintf(text, sizeof text, "%s where %s is expected",
				 k == seen->count ? "no option" : names[seen->o[k].name], names[want->o[i].name]);
			return text;
		}
		why = option_differs(&want->o[i], &seen->o[k++]);
		if (why)
			return why;
	}
	while (!layout && k < seen->count && seen->o[k].name == NAME_nop)
		k++;
	if (k < seen->count && !want->more) {
		snprintf(text, sizeof text, "an option %s more", names[seen->o[k].name]);
		return text;
	}
	return NULL;
}
