/* SPDX-License-Identifier: MIT */
/* What an operator is told about a file, word for word. */
#include "tunneld/config/config.c"
#include "tunneld/config/config_value.c"

#include <unistd.h>

#include "tests/unit/unit.h"

#define KEY "Y5jJd+uOScWIkGZ1o5NoAWS31z8ZYWsh0UxR6VxbjjY="
#define KEY2 "gGTzBZL1zLoZQ0PMFVPuYvMdAQnhPeuJ0lxJgwRMGFM="

/* Files in a directory of this run alone; {DIR} in a text becomes its name. */
static char dir[] = "/tmp/plait-test-config.XXXXXX";
static char said[8192];

static void put(const char *name, const char *text, mode_t mode)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	for (const char *at; (at = strstr(text, "{DIR}")); text = at + 5)
		fprintf(f, "%.*s%s", (int)(at - text), text, dir);
	fputs(text, f);
	fclose(f);
	chmod(path, mode);
}

static struct config *read_it(const char *json)
{
	char path[128], cut[8192], *at;
	FILE *f = tmpfile();
	struct config *c;
	size_t n;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	put("key", KEY "\n", 0600);
	put("t.json", json, 0600);
	snprintf(path, sizeof path, "%s/t.json", dir);
	c = config_read(path, f);
	rewind(f);
	n = fread(cut, 1, sizeof cut - 1, f);
	cut[n] = '\0';
	fclose(f);
	/* The directory's name changes from run to run: out with it. */
	said[0] = '\0';
	for (at = cut, n = 0; *at;) {
		if (!strncmp(at, dir, strlen(dir)))
			at += strlen(dir) + 1;
		else
			said[n++] = *at++;
	}
	said[n] = '\0';
	return c;
}

/* The file is refused with exactly these lines. */
static void refused(const char *json, const char *lines)
{
	struct config *c = read_it(json);

	CU_ASSERT_PTR_NULL(c);
	config_free(c);
	CU_ASSERT_STRING_EQUAL(said, lines);
	if (strcmp(said, lines) != 0)
		fprintf(stderr, "said:\n%swanted:\n%s", said, lines);
}

#define CLIENT_PATHS(paths) "{ \"private_key_file\": \"{DIR}/key\", \"client\": { \"gateways\": [ {\"name\": \"g\", " \
	"\"public_key\": \"" KEY2 "\", \"addresses\": [\"192.0.2.1:4500\"]} ], \"paths\": " paths " } }"
#define GATEWAY(more) "{ \"private_key_file\": \"{DIR}/key\", \"gateway\": { \"listen\": [\"0.0.0.0:4500\"], " \
	"\"clients\": [] }" more " }"

static void test_a_client_is_read_whole(void)
{
	struct config *c = read_it(CLIENT_PATHS("[ {\"name\": \"a\", \"interface\": \"eth0\"}, "
						"{\"name\": \"b\", \"address\": \"10.0.0.1\", \"backup\": true, \"mark\": 4294967295} ]"));

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_STRING_EQUAL(said, "");
	CU_ASSERT_TRUE(c->client);
	CU_ASSERT_FALSE(c->gateway);
	CU_ASSERT_EQUAL(c->gateway_count, 1);
	CU_ASSERT_EQUAL(c->gateways[0].addresses[0].port, 4500);
	CU_ASSERT_EQUAL(c->path_count, 2);
	CU_ASSERT_STRING_EQUAL(c->paths[0].interface, "eth0");
	CU_ASSERT_TRUE(c->paths[1].backup);
	CU_ASSERT_EQUAL(c->paths[0].mark, 0);
	CU_ASSERT_EQUAL(c->paths[1].mark, UINT32_MAX);
	CU_ASSERT_EQUAL(c->paths[1].address.family, 4);
	CU_ASSERT_FALSE(c->paths_auto);
	CU_ASSERT_EQUAL(c->connections_max, CONNECTIONS_DEFAULT);
	config_free(c);
}

static void test_paths_are_automatic_when_not_said(void)
{
	struct config *c = read_it("{ \"private_key_file\": \"{DIR}/key\", \"client\": { \"gateways\": [ {\"name\": \"g\", "
				   "\"public_key\": \"" KEY2 "\", \"addresses\": [\"[2001:db8::1]:1\"]} ] } }");

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_TRUE(c->paths_auto);
	config_free(c);
}

static void test_zero_limits_are_the_defaults(void)
{
	struct config *c = read_it(GATEWAY(", \"limits\": { \"connections\": 0, \"memory_bytes\": 0 }"));

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(c->connections_max, CONNECTIONS_DEFAULT);
	CU_ASSERT_EQUAL(c->memory_bytes, MEMORY_DEFAULT);
	config_free(c);
}

static void test_the_status_socket_stands_beside_the_control_socket(void)
{
	struct config *c = read_it("{ \"private_key_file\": \"{DIR}/key\", \"client\": { \"socket\": \"/run/x/a.sock\", "
				   "\"gateways\": [ {\"name\": \"g\", \"public_key\": \"" KEY2 "\", "
				   "\"addresses\": [\"192.0.2.1:1\"]} ] } }");

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_STRING_EQUAL(c->status_socket, "/run/x/status.sock");
	config_free(c);
}

static void test_what_is_not_json_is_told_with_line_and_column(void)
{
	refused("{\n  \"private_key_file\": ,\n}", "t.json:2:23: unexpected token near ','\n");
	refused("", "t.json:1:0: '[' or '{' expected near end of file\n");
	refused("{ \"gateway\": {}, \"gateway\": {} }", "t.json:1:26: duplicate object key near '\"gateway\"'\n");
}

static void test_a_wrong_value_is_told_with_its_path(void)
{
	refused(CLIENT_PATHS("[ {\"name\": \"a\", \"interface\": \"eth0\"}, {\"name\": \"b\", \"interface\": 7} ]"),
		"t.json: $.client.paths[1].interface: must be a string\n");
	refused(CLIENT_PATHS("[ {\"name\": \"a\", \"interface\": \"eth0\", \"mark\": 3}, "
			     "{\"name\": \"b\", \"interface\": \"eth1\", \"mark\": 3} ]"),
		"t.json: $.client.paths[1]: has the mark of item 0\n");
	refused(CLIENT_PATHS("[ {\"name\": \"a\", \"interface\": \"eth0\", \"mark\": 0} ]"),
		"t.json: $.client.paths[0].mark: must not be 0, the mark of every socket without one\n");
	refused(CLIENT_PATHS("[ {\"name\": \"a\", \"interface\": \"eth0\", \"mark\": 4294967296} ]"),
		"t.json: $.client.paths[0].mark: must be at most 4294967295\n");
	refused("[]", "t.json: $: must be an object\n");
	refused("{ \"private_key_file\": \"{DIR}/key\" }",
		"t.json: $: has neither gateway nor client, nor plain.listen: there is nothing to do\n");
}

static void test_all_complaints_come_at_once(void)
{
	refused("{ \"private_key_file\": \"{DIR}/none\", \"clinet\": 1, \"gateway\": { \"listen\": [\"0.0.0.0\", \"x:1\"], "
		"\"clients\": [ {\"name\": \"\", \"public_key\": \"AAAA\", \"a b\": 1} ], \"egress\": {\"deny\": [\"10/8\"]} } }",
		"t.json: $.clinet: is not a key known here\n"
		"t.json: $.private_key_file: none: No such file or directory\n"
		"t.json: $.gateway.listen[0]: must have a port, as in 0.0.0.0:4500\n"
		"t.json: $.gateway.listen[1]: must be an address with a port, as 192.0.2.1:4500 or [2001:db8::1]:4500\n"
		"t.json: $.gateway.clients[0][\"a b\"]: is not a key known here\n"
		"t.json: $.gateway.clients[0].name: must not be empty nor hold a NUL\n"
		"t.json: $.gateway.clients[0].public_key: must be a key: 32 bytes in base64, 44 characters\n"
		"t.json: $.gateway.egress.deny[0]: must be an address block, as 10.0.0.0/8 or 2001:db8::/32\n");
}

static void test_a_strange_key_cannot_forge_a_line(void)
{
	refused(GATEWAY(", \"a\\nb\\u001b[2J\": 1"), "t.json: $[\"a?b?[2J\"]: is not a key known here\n");
}

static void test_paths_have_one_of_interface_and_address(void)
{
	refused(CLIENT_PATHS("[ {\"name\": \"a\"} ]"), "t.json: $.client.paths[0]: must have either interface or address\n");
	refused(CLIENT_PATHS("[ {\"name\": \"a\", \"interface\": \"e\", \"address\": \"10.0.0.1\"} ]"),
		"t.json: $.client.paths[0]: must have either interface or address, not both\n");
	refused(CLIENT_PATHS("\"all\""), "t.json: $.client.paths: must be \"auto\" or an array\n");
	refused(CLIENT_PATHS("[]"), "t.json: $.client.paths: must have at least 1 item\n");
	refused(CLIENT_PATHS("[ {\"name\": \"a\", \"interface\": \"e\"}, {\"name\": \"a\", \"interface\": \"f\"} ]"),
		"t.json: $.client.paths[1]: has the name of item 0\n");
	refused(CLIENT_PATHS("[ {\"name\": \"a\", \"address\": \"10.0.0.1:5\"} ]"),
		"t.json: $.client.paths[0].address: must not have a port\n");
}

static void test_two_clients_do_not_share_a_key(void)
{
	refused("{ \"private_key_file\": \"{DIR}/key\", \"gateway\": { \"listen\": [\"0.0.0.0:1\", \"0.0.0.0:1\"], \"clients\": [ "
		"{\"name\": \"a\", \"public_key\": \"" KEY2 "\"}, {\"name\": \"b\", \"public_key\": \"" KEY2 "\"} ] } }",
		"t.json: $.gateway.listen[1]: is there already, as item 0\n"
		"t.json: $.gateway.clients[1]: has the public key of item 0\n");
}

static void test_numbers_have_their_limits(void)
{
	refused(GATEWAY(", \"limits\": { \"connections\": -1, \"memory_bytes\": 5 }"),
		"t.json: $.limits.connections: must be a whole number, 0 or more\n"
		"t.json: $.limits.memory_bytes: must be 0 (the default) or at least 4194304\n");
	refused(GATEWAY(", \"transport\": { \"uperf_timeout_ms\": 16777216, \"checksum\": 1, \"fastclose\": \"fin\" }"),
		"t.json: $.transport.uperf_timeout_ms: must be at most 16777215\n"
		"t.json: $.transport.fastclose: must be \"rst\" or \"ack\"\n"
		"t.json: $.transport.checksum: must be true or false\n");
	refused(GATEWAY(", \"transport\": { \"uperf_timeout_ms\": 900, \"user_timeout_ms\": 900 }"),
		"t.json: $.transport: user_timeout_ms must be larger than UPERF_TIMEOUT, which is 900 ms here\n");
	/* The formula's other terms count, and so does the default. */
	refused(GATEWAY(", \"transport\": { \"uperf_timeout_ms\": 100, \"uperf_l_limit_ms\": 1000, \"user_timeout_ms\": 999 }"),
		"t.json: $.transport: user_timeout_ms must be larger than UPERF_TIMEOUT, which is 1000 ms here\n");
	refused(GATEWAY(", \"transport\": { \"user_timeout_ms\": 400 }"),
		"t.json: $.transport: user_timeout_ms must be larger than UPERF_TIMEOUT, which is 400 ms here\n");
}

static void test_status_is_for_this_machine_only(void)
{
	refused(GATEWAY(", \"status\": { \"http\": \"0.0.0.0:9777\" }"),
		"t.json: $.status.http: must be a loopback address: what it shows is not for others\n");
}

static void test_plain_needs_no_gateway_and_no_key(void)
{
	struct config *c = read_it("{ \"client\": {}, \"plain\": { \"connect\": [ { \"to\": \"10.1.0.0/16\" } ],"
				   " \"listen\": [ { \"address\": \"[::]:80\", \"forward\": \"127.0.0.1:8080\" },"
				   " { \"address\": \"0.0.0.0:80\", \"forward\": \"127.0.0.1:8080\", \"joins\": false },"
				   " { \"address\": \"192.0.2.1:81\", \"forward\": \"127.0.0.1:8080\", \"announce\": true } ],"
				   " \"extensions\": [ \"fault_announce\" ] } }");

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_STRING_EQUAL(said, "");
	CU_ASSERT_TRUE(c->client && c->paths_auto);
	CU_ASSERT_EQUAL_FATAL(c->plain_connect.count, 1);
	CU_ASSERT_EQUAL(c->plain_connect.list[0].bits, 16);
	CU_ASSERT_EQUAL_FATAL(c->plain_listen_count, 3);
	CU_ASSERT_EQUAL(c->plain_keepalive_ms, 7200000);
	CU_ASSERT_TRUE(c->plain_extensions.fault_announce && !c->plain_extensions.uperf && !c->plain_extensions.mp_prio_max_rto);
	CU_ASSERT_TRUE(c->plain_listen[0].joins && !c->plain_listen[0].announce);
	CU_ASSERT_TRUE(!c->plain_listen[1].joins && !c->plain_listen[1].announce);
	CU_ASSERT_TRUE(c->plain_listen[2].joins && c->plain_listen[2].announce);
	CU_ASSERT_EQUAL(c->plain_listen[0].address.family, 6);
	CU_ASSERT_EQUAL(c->plain_listen[0].forward.port, 8080);
	config_free(c);
}

static void test_plain_is_told_what_it_lacks(void)
{
	refused("{ \"client\": {}, \"plain\": { \"connect\": [] } }",
		"t.json: $.client.gateways: is missing, and there is no plain.connect either\n");
	refused("{ \"plain\": { \"connect\": [ { \"to\": \"10.1.0.0/16\" } ],"
		" \"listen\": [ { \"address\": \"0.0.0.0\", \"forward\": \"127.0.0.1:80\" } ] } }",
		"t.json: $.plain.listen[0].address: must have a port, as in 0.0.0.0:4500\n"
		"t.json: $: has plain.connect but no client: there is nobody to connect\n");
	refused("{ \"plain\": { \"listen\": [ { \"address\": \"0.0.0.0:8080\", \"forward\": \"127.0.0.1:80\","
		" \"announce\": true, \"joins\": false } ] } }",
		"t.json: $.plain.listen[0]: announces an address for joins, and wants none there\n");
	refused("{ \"plain\": { \"connect\": [ { \"to\": \"10.1.0.0/33\" }, {} ] }, \"client\": {} }",
		"t.json: $.plain.connect[0].to: must be an address block, as 10.0.0.0/8 or 2001:db8::/32\n"
		"t.json: $.plain.connect[1].to: is missing\n");
}

static void test_a_key_others_can_read_is_warned_about(void)
{
	struct config *c;

	put("open", KEY, 0644);
	c = read_it("{ \"private_key_file\": \"{DIR}/open\", \"gateway\": { \"listen\": [\"0.0.0.0:1\"], \"clients\": [] } }");
	CU_ASSERT_PTR_NOT_NULL(c);
	CU_ASSERT_STRING_EQUAL(said, "t.json: $.private_key_file: warning: open can be read by others (mode 644): chmod 600 it\n");
	config_free(c);
	put("junk", "not a key", 0600);
	refused("{ \"private_key_file\": \"{DIR}/junk\", \"gateway\": { \"listen\": [\"0.0.0.0:1\"], \"clients\": [] } }",
		"t.json: $.private_key_file: junk: holds no key: 32 bytes in base64, as plait genkey writes it\n");
}

static void test_the_examples_are_accepted_but_for_their_key_files(void)
{
	static const char *const files[] = { "config/tunneld.client.json", "config/tunneld.gateway.json" };

	for (int i = 0; i < 2; i++) {
		char *text = NULL;
		size_t size = 0;
		FILE *f = open_memstream(&text, &size);
		struct config *c = config_read(files[i], f);

		fclose(f);
		CU_ASSERT_PTR_NULL(c);
		CU_ASSERT_PTR_NOT_NULL(strstr(text, "$.private_key_file: /etc/plait/"));
		CU_ASSERT_PTR_EQUAL(strchr(text, '\n'), text + size - 1); /* and nothing else */
		config_free(c);
		free(text);
	}
}

static int run(void);
int main(void)
{
	int status;
	static const char *const files[] = { "key", "t.json", "open", "junk" };
	char path[128];

	if (!mkdtemp(dir))
		return 2;
	status = run();
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
	return status;
}

static int run(void)
{
	static const struct unit_test tests[] = {
		T(test_a_client_is_read_whole),
		T(test_paths_are_automatic_when_not_said),
		T(test_zero_limits_are_the_defaults),
		T(test_the_status_socket_stands_beside_the_control_socket),
		T(test_what_is_not_json_is_told_with_line_and_column),
		T(test_a_wrong_value_is_told_with_its_path),
		T(test_all_complaints_come_at_once),
		T(test_a_strange_key_cannot_forge_a_line),
		T(test_paths_have_one_of_interface_and_address),
		T(test_two_clients_do_not_share_a_key),
		T(test_numbers_have_their_limits),
		T(test_status_is_for_this_machine_only),
		T(test_plain_needs_no_gateway_and_no_key), T(test_plain_is_told_what_it_lacks),
		T(test_a_key_others_can_read_is_warned_about),
		T(test_the_examples_are_accepted_but_for_their_key_files),
	};

	return unit_run("config", tests, sizeof tests / sizeof *tests);
}
