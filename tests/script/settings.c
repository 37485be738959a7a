/* SPDX-License-Identifier: MIT */
/* What stands before the first line, and how a subflow of the peer's is addressed. */
#include "tests/script/runner.h"

#include <stdlib.h>
#include <string.h>

void set(char *rest)
{
	char *what = word_needed(&rest, "what to set"), *to = word_needed(&rest, "its value"), *end;

	if (w.e)
		bad_script("set after the start");
	if (!strcmp(what, "form"))
		w.config.form = !strcmp(to, "sealed") ? SEGMENT_SEALED : SEGMENT_PLAIN;
	else if (!strcmp(what, "role"))
		w.server = !strcmp(to, "server");
	else if (!strcmp(what, "checksum"))
		w.config.checksum = on(to);
	else if (!strcmp(what, "fastclose"))
		w.config.fastclose = !strcmp(to, "ack") ? FASTCLOSE_ACK : FASTCLOSE_RST;
	else if (!strcmp(what, "paths"))
		w.paths = (unsigned)number(to);
	else if (!strcmp(what, "mtu"))
		w.mtu = (uint16_t)number(to);
	else if (!strcmp(what, "tolerance"))
		w.tolerance = seconds(to, &end);
	else if (!strcmp(what, "subflows"))
		w.config.subflows_max = (uint32_t)number(to);
	else if (!strcmp(what, "connections"))
		w.config.connections_max = (uint32_t)number(to);
	else if (!strcmp(what, "iss"))
		w.peer_iss = (uint32_t)strtoul(to, NULL, 0);
	else if (!strcmp(what, "seed"))
		w.seed = strtoull(to, NULL, 0);
	else if (!strcmp(what, "key"))
		w.peer_key = strtoull(to, NULL, 0);
	else if (!strcmp(what, "read"))
		w.auto_read = !strcmp(to, "auto");
	else if (!strcmp(what, "announce"))
		w.announce = on(to);
	else if (!strcmp(what, "no_joins"))
		w.no_joins = on(to);
	else if (!strcmp(what, "family"))
		w.path_family = (uint8_t)number(to);
	else if (!strcmp(what, "memory"))
		w.config.memory_max = (uint64_t)number(to);
	else if (!strcmp(what, "congestion"))
		w.config.congestion = strdup(to);
	else if (!strcmp(what, "scheduler"))
		w.config.scheduler = strdup(to);
	else if (!strcmp(what, "facts"))
		w.config.facts = (uint32_t)number(to);
	else if (!strcmp(what, "uperf_timeout_ms"))
		w.config.uperf_timeout_ms = (uint32_t)number(to);
	else if (!strcmp(what, "uperf_l_limit_ms"))
		w.config.uperf_l_limit_ms = (uint32_t)number(to);
	else if (!strcmp(what, "uperf_u_limit_ms"))
		w.config.uperf_u_limit_ms = (uint32_t)number(to);
	else if (!strcmp(what, "user_timeout_ms"))
		w.config.user_timeout_ms = (uint32_t)number(to);
	else if (!strcmp(what, "connect_timeout"))
		w.config.connect_timeout_us = seconds(to, &end);
	else if (!strcmp(what, "dead_timeout"))
		w.config.dead_timeout_us = seconds(to, &end);
	else if (!strcmp(what, "keepalive"))
		w.config.keepalive_us = seconds(to, &end);
	else if (!strcmp(what, "close_timeout"))
		w.config.close_timeout_us = seconds(to, &end);
	else
		bad_script("nothing is named %s", what);
}

/* sN path P remote A local PORT conn N: how the subflow that the peer opens is addressed. */
void declare_sub(unsigned sub, char *rest)
{
	struct script_sub *s = &w.subs[sub];
	char *what;

	s->declared = true;
	while ((what = word(&rest))) {
		if (!strcmp(what, "path"))
			s->path = (path_id)number_needed(&rest, "path");
		else if (!strcmp(what, "remote"))
			s->remote = address(word_needed(&rest, "remote"));
		else if (!strcmp(what, "local"))
			s->local_port = (uint16_t)number_needed(&rest, "local port");
		else if (!strcmp(what, "port"))
			s->remote_port = (uint16_t)number_needed(&rest, "port");
		else if (!strcmp(what, "conn"))
			s->conn = (unsigned)number_needed(&rest, "conn") - 1;
		else
			bad_script("a subflow has no \"%s\"", what);
	}
	if (s->conn >= CONNS)
		bad_script("connections are 1 to %d", CONNS);
}

/* A subflow the peer begins: whatever the script has not declared is as usual. */
void sub_of_peer(unsigned sub)
{
	struct script_sub *s = &w.subs[sub];

	if (s->bound)
		return;
	if (!s->path)
		s->path = 1;
	if (!s->local_port)
		s->local_port = w.listen_port;
	if (!s->remote_port)
		s->remote_port = (uint16_t)(40001 + sub);
	if (!s->remote.family) {
		s->remote = path_address(s->path);
		s->remote.ip[s->remote.family == 6 ? 15 : 3] = 99;
	}
	if (!s->remote.port)
		s->remote.port = s->remote_port;
	s->remote_port = s->remote.port;
	s->bound = true;
}
