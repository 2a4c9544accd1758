#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ula.h"
#include "container_fixture.h"
#include "runtime/network/guard.h"
#include "runtime/network/network.h"

enum {
    IP_BYTES = 48,
};

/* Both of a container's addresses on one network, from the one that its status names. */
static void format_ips(const struct address *address, char ret_ip[IP_BYTES], char ret_ip6[IP_BYTES])
{
    uint32_t ip = (uint32_t)address->ip[12] << 24 | (uint32_t)address->ip[13] << 16 |
                  (uint32_t)address->ip[14] << 8 | address->ip[15];
    const struct address ula = ula_make((uint16_t)((ip - 0x0a580000) >> 10), ip);
    inet_ntop(AF_INET, address->ip + 12, ret_ip, IP_BYTES);
    inet_ntop(AF_INET6, ula.ip, ret_ip6, IP_BYTES);
}

/* A firewall as strict as Docker's and a careful administrator's together, and bridged packets made
 * to pass it. */
static void raise_strict_firewall(void)
{
    assert_int_equal(
        fixture_shell(
            "for f in ip ip6; do "
            "nft \"table $f filter { chain FORWARD { type filter hook forward priority 0; "
            "policy drop; }; chain INPUT { type filter hook input priority 0; policy drop; "
            "ct state established accept; iifname lo accept; }; }\" || exit 1; done; "
            "for f in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do "
            "[ ! -e $f ] || echo 1 > $f; done"),
        0);
}

static void lower_strict_firewall(void)
{
    assert_int_equal(fixture_shell("nft 'delete table ip filter; delete table ip6 filter'"), 0);
}

static void talk_through(struct fixture *fixture)
{
    char script[256], text[512];
    fixture_start(fixture, "a", "sleep 1000");
    fixture_start(fixture, "c", "while :; do nc -l -p 80 -e echo answer; done");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_true(fixture_wait_state(fixture, "c", CONTAINER_RUNNING));
    struct address address = fixture_status(fixture, "c").addresses[0];
    snprintf(script, sizeof(script),
             "for i in 1 2 3 4 5; do nc -w 2 %u.%u.%u.%u 80 && exit; sleep 1; done; exit 1",
             address.ip[12], address.ip[13], address.ip[14], address.ip[15]);
    assert_int_equal(fixture_exec(fixture, "a", script, text, sizeof(text)), 0);
    assert_string_equal(text, "answer\n");
}

static void containers_reach_each_other(void **state)
{
    (void)state; /* would break: the bridge and the containers' addresses */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    talk_through(fixture);
    fixture_free(fixture);
}

static void passes_strict_firewalls(void **state)
{
    (void)state; /* would break: machines with Docker, or with a firewall that drops by default */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_new();
    raise_strict_firewall();
    fixture_open(fixture);
    talk_through(fixture);
    fixture_free(fixture);
    lower_strict_firewall();
}

/* As accept_redirected(), over IPv6. */
static void accept_redirected6(struct fixture *fixture, struct sockaddr_in6 *ret)
{
    const struct address gateway = ula_make(ULA_GATEWAY_SUBNET, 0x0a580001);
    int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in6 here = {.sin6_family = AF_INET6, .sin6_port = htons(7301)};
    memcpy(&here.sin6_addr, gateway.ip, sizeof(here.sin6_addr));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(listener, (struct sockaddr *)&here, sizeof(here)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(fixture_exec(fixture, "a",
                                  "nc -w 9 fd39:8035:57fb:ffff::a61:304 8080 </dev/null "
                                  ">/dev/null 2>&1 & true",
                                  NULL, 0),
                     0);
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 10000), 1);
    int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(accepted >= 0);
    socklen_t size = sizeof(*ret);
    assert_int_equal(getsockopt(accepted, SOL_IPV6, IP6T_SO_ORIGINAL_DST, ret, &size), 0);
    close(accepted);
    close(listener);
}

/* Accepts one connection on the gateway and tells for which address it was meant. */
static void accept_redirected(struct fixture *fixture, struct sockaddr_in *ret)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(7301)};
    int one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    here.sin_addr.s_addr = htonl(0x0a580001);
    assert_int_equal(bind(listener, (struct sockaddr *)&here, sizeof(here)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(fixture_exec(fixture, "a",
                                  "nc -w 3 10.97.3.4 8080 </dev/null >/dev/null & "
                                  "sleep 0.5",
                                  NULL, 0),
                     0);
    int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(accepted >= 0);
    socklen_t size = sizeof(*ret);
    assert_int_equal(getsockopt(accepted, SOL_IP, SO_ORIGINAL_DST, ret, &size), 0);
    close(accepted);
    close(listener);
}

static void virtual_addresses_lead_to_the_mesh(void **state)
{
    (void)state; /* would break: every request from a container to a service */
    NEEDS_CONTAINERS();
    raise_strict_firewall();
    struct fixture *fixture = fixture_begin();
    fixture_start(fixture, "a", "sleep 1000");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    struct sockaddr_in meant;
    accept_redirected(fixture, &meant);
    assert_int_equal(ntohl(meant.sin_addr.s_addr), 0x0a610304);
    assert_int_equal(ntohs(meant.sin_port), 8080);
    struct sockaddr_in6 meant6;
    const struct address virtual = ula_make(ULA_VIRTUAL_SUBNET, 0x0a610304);
    accept_redirected6(fixture, &meant6);
    assert_memory_equal(&meant6.sin6_addr, virtual.ip, sizeof(virtual.ip));
    assert_int_equal(ntohs(meant6.sin6_port), 8080);
    char text[256];
    assert_int_equal(fixture_exec(fixture, "a", "nc -w 2 10.88.0.1 22 </dev/null", text, 100), 1);
    fixture_free(fixture);
    lower_strict_firewall();
}

static void the_world_is_reached_and_kept_out(void **state)
{
    (void)state; /* would break: containers' way to the Internet, or strangers' way to them */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    assert_int_equal(
        fixture_shell(
            "ip netns add world && ip link add out0 type veth peer name in0 netns world && "
            "ip addr add 192.0.2.1/24 dev out0 && ip link set out0 up && "
            "ip -n world addr add 192.0.2.2/24 dev in0 && ip -n world link set in0 up && "
            "ip addr add 2001:db8::1/64 dev out0 nodad && "
            "ip -n world addr add 2001:db8::2/64 dev in0 nodad"),
        0);
    fixture_start(fixture, "a", "while :; do nc -l -p 80 -e echo inside; done");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_int_equal(
        fixture_shell(
            "(ip netns exec world busybox timeout 20 busybox sh -c "
            "'while :; do busybox nc -l -p 9000 -e echo world; done' >/dev/null 2>&1 &) ; "
            "until ip netns exec world ss -ltn | grep -q :9000; do sleep 0.1; done"),
        0);
    char text[256];
    /* the world has no route to 10.88.0.0/16: without masquerade there is no answer */
    assert_int_equal(fixture_exec(fixture, "a", "nc -w 3 192.0.2.2 9000", text, sizeof(text)), 0);
    assert_string_equal(text, "world\n");
    assert_int_equal(fixture_exec(fixture, "a", "nc -w 3 2001:db8::2 9000", text, sizeof(text)), 0);
    assert_string_equal(text, "world\n");
    struct address address = fixture_status(fixture, "a").addresses[0];
    assert_int_not_equal(
        fixture_shell("ip -n world route add 10.88.0.0/16 via 192.0.2.1 && "
                      "ip netns exec world busybox nc -w 1 10.88.%u.%u 80 </dev/null",
                      address.ip[14], address.ip[15]),
        0);
    char ip[IP_BYTES], ip6[IP_BYTES];
    format_ips(&address, ip, ip6);
    assert_int_not_equal(
        fixture_shell("ip -n world route add fd39:8035:57fb::/48 via 2001:db8::1 && "
                      "ip netns exec world busybox nc -w 1 %s 80 </dev/null",
                      ip6),
        0);
    fixture_free(fixture);
    assert_int_equal(fixture_shell("ip netns del world"), 0);
}

static void a_flushed_firewall_is_restored(void **state)
{
    (void)state; /* would break: the network after `systemctl reload nftables` */
    NEEDS_CONTAINERS();
    struct firewall_config config = {
        .bridge = "ctest1",
        .network = 0x0a590000,
        .prefix = 16,
        .gateway = 0x0a590001,
        .virtual_network = 0x0a610000,
        .virtual_prefix = 16,
        .mesh_port = 7301,
    };
    struct error error = {0};
    assert_int_equal(network_setup(&config, &error), 0);
    assert_true(firewall_is_applied(&config));
    assert_int_equal(fixture_shell("nft flush ruleset"), 0);
    assert_false(firewall_is_applied(&config));
    assert_int_equal(network_check(&config, &error), 0);
    assert_true(firewall_is_applied(&config));
    assert_true(guard_is_applied());
    assert_int_equal(fixture_shell("nft delete table bridge consort"), 0);
    assert_int_equal(network_check(&config, &error), 0);
    assert_true(guard_is_applied());
    assert_int_equal(fixture_shell("nft delete table ip6 consort"), 0);
    assert_false(firewall_is_applied(&config));
    assert_int_equal(network_check(&config, &error), 0);
    assert_true(firewall_is_applied(&config));
    raise_strict_firewall(); /* a firewall that comes up after us */
    assert_false(firewall_is_applied(&config));
    assert_int_equal(network_check(&config, &error), 0);
    assert_true(firewall_is_applied(&config));
    assert_int_equal(network_teardown(&config), 0);
    assert_int_not_equal(
        fixture_shell("ip link show ctest1 || nft list table ip consort || "
                      "nft list table ip6 consort || nft list table bridge consort"),
        0);
    assert_int_equal(fixture_shell("nft flush ruleset"), 0);
}

/* Starts a container on those networks, NULL for none, that answers its name on port 80. */
static void start_on(struct fixture *fixture, const char *id, const char *open,
                     const char *internal)
{
    struct container_spec spec;
    struct error error = {0};
    char script[64];
    snprintf(script, sizeof(script), "while :; do nc -l -p 80 -e echo %s; done", id);
    fixture_spec(fixture, id, script, &spec);
    if (open)
        assert_int_equal(text_list_add(&spec.networks, open), 0);
    if (internal)
        assert_int_equal(text_list_add(&spec.internal_networks, internal), 0);
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, id, CONTAINER_RUNNING));
}

/* Whether `to` answers `from` at its address of that index, once it has begun to listen. */
static bool reaches(struct fixture *fixture, const char *from, const char *to, size_t index)
{
    char script[256], text[64] = "", expected[64], ip[IP_BYTES], ip6[IP_BYTES];
    const struct address address = fixture_status(fixture, to).addresses[index];
    format_ips(&address, ip, ip6);
    snprintf(expected, sizeof(expected), "%s\n", to);
    unsigned answers = 0;
    for (int family = 0; family < 2; family++) {
        snprintf(script, sizeof(script),
                 "for i in 1 2 3; do nc -w 1 %s 80 2>/dev/null && exit; sleep 0.3; done; exit 1",
                 family == 0 ? ip : ip6);
        answers += fixture_exec(fixture, from, script, text, sizeof(text)) == 0 &&
                   strcmp(text, expected) == 0;
    }
    assert_true(answers != 1); /* the two families never differ */
    return answers == 2;
}

static void expect_isolation(struct fixture *fixture)
{
    assert_true(reaches(fixture, "front", "both", 0));
    assert_true(reaches(fixture, "both", "front", 0));
    assert_true(reaches(fixture, "both", "back", 0));
    assert_true(reaches(fixture, "back", "both", 1));
    assert_false(reaches(fixture, "front", "back", 0));
    assert_false(reaches(fixture, "front", "both", 1));
    assert_false(reaches(fixture, "back", "front", 0));
    assert_false(reaches(fixture, "back", "both", 0));
}

static unsigned bridge_count(void)
{
    unsigned count = 0;
    for (int digit = '1'; digit <= '3'; digit++)
        count += fixture_shell("test $(ip -o link | grep -c ': ctest0n') -ge %c", digit) == 0;
    return count;
}

static void networks_are_kept_apart(void **state)
{
    (void)state; /* would break: whoever gets into one service gets at all others */
    NEEDS_CONTAINERS();
    raise_strict_firewall();
    struct fixture *fixture = fixture_begin();
    assert_int_equal(bridge_count(), 0);
    start_on(fixture, "front", "shop_front", NULL);
    assert_int_equal(bridge_count(), 1);
    start_on(fixture, "both", "shop_front", "shop_back");
    start_on(fixture, "back", NULL, "shop_back");
    assert_int_equal(bridge_count(), 2);
    expect_isolation(fixture);

    /* an internal network has no way to the world, nor to the machine's own ports */
    assert_int_not_equal(fixture_exec(fixture, "back", "nc -w 1 10.88.0.1 22 </dev/null", NULL, 0),
                         0);
    char text[512];
    assert_int_equal(fixture_exec(fixture, "back", "ip route", text, sizeof(text)), 0);
    assert_null(strstr(text, "default"));

    fixture_close(fixture); /* who comes back knows the networks, and breaks nothing */
    fixture_open(fixture);
    assert_true(fixture_wait_state(fixture, "back", CONTAINER_RUNNING));
    expect_isolation(fixture);
    start_on(fixture, "late", "shop_front", NULL);
    assert_true(reaches(fixture, "late", "both", 0));
    assert_int_equal(bridge_count(), 2);

    assert_int_equal(runtime_remove(fixture->runtime, "back"), 0);
    assert_true(fixture_wait_gone(fixture, "back"));
    assert_int_equal(bridge_count(), 2); /* another is still on it */
    assert_int_equal(runtime_remove(fixture->runtime, "both"), 0);
    assert_true(fixture_wait_gone(fixture, "both"));
    assert_int_equal(bridge_count(), 1);
    fixture_free(fixture);
    lower_strict_firewall();
}

static void hosts_has_names(void **state)
{
    (void)state; /* would break: the container's own name in all of its networks, and
                  * `extra_hosts: host.docker.internal:host-gateway` */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    struct error error = {0};
    char text[512], own[2][IP_BYTES], own6[IP_BYTES], expected[512];
    assert_int_equal(
        fixture_shell(
            "(busybox timeout 60 busybox sh -c "
            "'while :; do busybox nc -l -p 9000 -e echo machine; done' >/dev/null 2>&1 &) "
            "; until ss -ltn | grep -q :9000; do sleep 0.1; done"),
        0);
    fixture_spec(fixture, "a", "sleep 1000", &spec);
    spec.hostname = strdup("a");
    assert_int_equal(text_list_add(&spec.networks, "front"), 0);
    assert_int_equal(text_list_add(&spec.internal_networks, "back"), 0);
    assert_int_equal(text_list_add(&spec.extra_hosts, "host.docker.internal=host-gateway"), 0);
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    const struct container_status status = fixture_status(fixture, "a");
    assert_string_equal(status.networks[0], "front");
    assert_string_equal(status.networks[1], "back");
    for (size_t i = 0; i < 2; i++)
        format_ips(&status.addresses[i], own[i], own6);
    snprintf(expected, sizeof(expected), "%s a\n%s a\n10.88.0.1 host.docker.internal\n", own[0],
             own[1]);
    assert_int_equal(fixture_exec(fixture, "a", "tail -n 3 /etc/hosts", text, sizeof(text)), 0);
    assert_string_equal(text, expected);
    assert_int_equal(
        fixture_exec(fixture, "a", "nc -w 3 host.docker.internal 9000", text, sizeof(text)), 0);
    assert_string_equal(text, "machine\n");
    fixture_free(fixture);
}

static void a_restart_breaks_no_connection(void **state)
{
    (void)state; /* would break: every upgrade of the daemon, for whoever is connected */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    struct error error = {0};
    char script[256], text[64];
    fixture_spec(fixture, "server", "nc -l -p 81 -e cat", &spec);
    assert_int_equal(text_list_add(&spec.networks, "one"), 0);
    assert_int_equal(text_list_add(&spec.networks, "two"), 0);
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "server", CONTAINER_RUNNING));
    const struct address to = fixture_status(fixture, "server").addresses[1];
    /* says "before", then "after" once it is told to, and keeps what came back */
    snprintf(script, sizeof(script),
             "mkfifo /in; nc %u.%u.%u.%u 81 </in >/out & exec 3>/in; echo before >&3; "
             "until [ -e /go ]; do sleep 0.1; done; echo after >&3; sleep 1000",
             to.ip[12], to.ip[13], to.ip[14], to.ip[15]);
    fixture_spec(fixture, "client", script, &spec);
    assert_int_equal(text_list_add(&spec.networks, "two"), 0);
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "client", CONTAINER_RUNNING));
    assert_int_equal(fixture_exec(fixture, "client",
                                  "for i in $(seq 100); do grep -q before /out && exit; "
                                  "sleep 0.1; done; exit 1",
                                  NULL, 0),
                     0);
    fixture_close(fixture);
    fixture_open(fixture);
    assert_true(fixture_wait_state(fixture, "client", CONTAINER_RUNNING));
    assert_int_equal(fixture_exec(fixture, "client",
                                  "touch /go; for i in $(seq 100); do grep -q after /out && break; "
                                  "sleep 0.1; done; cat /out",
                                  text, sizeof(text)),
                     0);
    assert_string_equal(text, "before\nafter\n");
    fixture_free(fixture);
}

static void without_a_network_or_with_the_machines(void **state)
{
    (void)state; /* would break: network_mode: none, and host */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    struct error error = {0};
    char text[1024];
    fixture_spec(fixture, "none", "sleep 1000", &spec);
    spec.network_mode = CONTAINER_NETWORK_NONE;
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    spec.network_mode = CONTAINER_NETWORK_HOST;
    strcpy(spec.id, "host");
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "none", CONTAINER_RUNNING));
    assert_true(fixture_wait_state(fixture, "host", CONTAINER_RUNNING));
    assert_int_equal(fixture_status(fixture, "none").address_count, 0);
    assert_int_equal(fixture_exec(fixture, "none", "ls /sys/class/net", text, sizeof(text)), 0);
    assert_string_equal(text, "lo\n");
    assert_int_equal(fixture_exec(fixture, "host", "ls /sys/class/net", text, sizeof(text)), 0);
    assert_non_null(strstr(text, "ctest0"));
    assert_int_equal(bridge_count(), 0);
    fixture_free(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_reach_each_other),
        cmocka_unit_test(passes_strict_firewalls),
        cmocka_unit_test(virtual_addresses_lead_to_the_mesh),
        cmocka_unit_test(the_world_is_reached_and_kept_out),
        cmocka_unit_test(a_flushed_firewall_is_restored),
        cmocka_unit_test(hosts_has_names),
        cmocka_unit_test(networks_are_kept_apart),
        cmocka_unit_test(a_restart_breaks_no_connection),
        cmocka_unit_test(without_a_network_or_with_the_machines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
