/* IPv6 where it is there and where it is not, and who may claim which address on a bridge. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/ula.h"
#include "container_fixture.h"
#include "runtime/network/guard.h"

enum {
    SUBNET = 0x0a580000,
    IP_BYTES = 48,
    ANSWER_BYTES = 512,
};

static const char serve[] = "while :; do nc -l -p 80 -e echo answer; done";

/* The two addresses at that distance from the container's own. */
static void format_ips(struct fixture *fixture, const char *id, uint32_t distance,
                       char ret_ip[IP_BYTES], char ret_ip6[IP_BYTES])
{
    const struct address address = fixture_status(fixture, id).addresses[0];
    uint32_t ip = (uint32_t)address.ip[12] << 24 | (uint32_t)address.ip[13] << 16 |
                  (uint32_t)address.ip[14] << 8 | address.ip[15];
    const struct address ula = ula_make((uint16_t)((ip - SUBNET) >> 10), ip + distance);
    struct in_addr in = {htonl(ip + distance)};
    inet_ntop(AF_INET, &in, ret_ip, IP_BYTES);
    inet_ntop(AF_INET6, ula.ip, ret_ip6, IP_BYTES);
}

static void start(struct fixture *fixture, const char *id, const char *script)
{
    fixture_start(fixture, id, script);
    assert_true(fixture_wait_state(fixture, id, CONTAINER_RUNNING));
}

/* What was said counts, not how it ended, nor what went before. */
static bool answers(struct fixture *fixture, const char *from, const char *ip, unsigned tries)
{
    char script[256], text[ANSWER_BYTES] = "";
    snprintf(script, sizeof(script),
             "for i in $(seq %u); do nc -w 1 %s 80 2>/dev/null | grep answer && exit; sleep 0.3; "
             "done; exit 1",
             tries, ip);
    return fixture_exec(fixture, from, script, text, sizeof(text)) == 0 &&
           strcmp(text, "answer\n") == 0;
}

static void nobody_claims_anothers_address(void **state)
{
    (void)state; /* would break: a program with CAP_NET_RAW reads what is meant for others */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    char own[IP_BYTES], own6[IP_BYTES], other[IP_BYTES], other6[IP_BYTES];
    start(fixture, "thief", serve);
    start(fixture, "client", "sleep 1000");
    format_ips(fixture, "thief", 0, own, own6);
    format_ips(fixture, "thief", 100, other, other6); /* in the network, and nobody's */
    assert_true(answers(fixture, "client", own, 12));
    assert_true(answers(fixture, "client", own6, 12));

    /* what raw packets could do, done by the kernel: it answers for that address from now on */
    assert_int_equal(fixture_shell("nsenter --net=%s/run/netns/thief sh -c 'ip addr add %s/22 dev "
                                   "eth0 && ip addr add %s/64 dev eth0 nodad'",
                                   fixture->directory, other, other6),
                     0);
    assert_false(answers(fixture, "client", other, 1));
    assert_false(answers(fixture, "client", other6, 1));
    assert_true(answers(fixture, "client", own, 5));
    assert_true(answers(fixture, "client", own6, 5));
    assert_int_equal(guard_remove_table(), 0); /* it was nothing else that kept them out */
    assert_true(answers(fixture, "client", other, 12));
    assert_true(answers(fixture, "client", other6, 12));
    fixture_free(fixture);
}

/* Another MAC for the thief, while the client knows none of its neighbours. A MAC that changes
 * takes the addresses of IPv6 away, and the container's way. */
static void set_mac(struct fixture *fixture, const char *mac)
{
    char own[IP_BYTES], own6[IP_BYTES];
    format_ips(fixture, "thief", 0, own, own6);
    assert_int_equal(fixture_shell("nsenter --net=%s/run/netns/thief sh -c 'ip link set eth0 "
                                   "address %s; ip addr replace %s/64 dev eth0 nodad'; "
                                   "nsenter --net=%s/run/netns/client ip neigh flush dev eth0",
                                   fixture->directory, mac, own6, fixture->directory),
                     0);
}

static void nobody_claims_anothers_mac(void **state)
{
    (void)state; /* would break: a bridge learns that another's frames go to the thief's port */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    char own[IP_BYTES], own6[IP_BYTES];
    start(fixture, "thief", serve);
    start(fixture, "client", "sleep 1000");
    format_ips(fixture, "thief", 0, own, own6);
    assert_true(answers(fixture, "client", own, 12));
    set_mac(fixture, "02:42:0a:58:7f:01");
    assert_false(answers(fixture, "client", own, 1));
    assert_false(answers(fixture, "client", own6, 1));
    assert_int_equal(guard_remove_table(), 0); /* it was nothing else that kept it out */
    set_mac(fixture, "02:42:0a:58:7f:01");
    assert_true(answers(fixture, "client", own, 10));
    assert_true(answers(fixture, "client", own6, 10));
    fixture_free(fixture);
}

/* What the shell says about addresses in the container. */
static bool has_ipv6(struct fixture *fixture, const char *id)
{
    char text[ANSWER_BYTES] = "";
    assert_int_equal(fixture_exec(fixture, id, "ip -6 addr show dev eth0", text, sizeof(text)), 0);
    return strstr(text, "inet6") != NULL;
}

static void a_machine_without_ipv6(void **state)
{
    (void)state; /* would break: any peer whose operator turned IPv6 off */
    NEEDS_CONTAINERS();
    char own[IP_BYTES], own6[IP_BYTES];
    assert_int_equal(fixture_shell("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"), 0);
    struct fixture *fixture = fixture_begin();
    assert_false(runtime_has_ipv6(fixture->runtime));
    start(fixture, "a", serve);
    start(fixture, "b", "sleep 1000");
    format_ips(fixture, "a", 0, own, own6);
    assert_true(answers(fixture, "b", own, 12));
    assert_false(has_ipv6(fixture, "a"));
    assert_int_not_equal(fixture_shell("nft list table ip6 consort"), 0);

    /* once it is there: for new containers, while the old ones go on */
    fixture_close(fixture);
    assert_int_equal(fixture_shell("echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6"), 0);
    fixture_open(fixture);
    assert_true(runtime_has_ipv6(fixture->runtime));
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    start(fixture, "c", serve);
    assert_true(has_ipv6(fixture, "c"));
    assert_true(answers(fixture, "b", own, 12));
    start(fixture, "d", "sleep 1000");
    format_ips(fixture, "c", 0, own, own6);
    assert_true(answers(fixture, "d", own6, 12));

    /* and gone again: nothing is left of it */
    fixture_close(fixture);
    assert_int_equal(fixture_shell("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"), 0);
    fixture_open(fixture);
    assert_true(fixture_wait_state(fixture, "d", CONTAINER_RUNNING));
    assert_true(answers(fixture, "d", own, 12));
    assert_int_not_equal(fixture_shell("nft list table ip6 consort"), 0);
    fixture_free(fixture);
    assert_int_equal(fixture_shell("echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6"), 0);
}

static bool runs_again(void *context)
{
    const struct container_status status = fixture_status(context, "a");
    return status.state == CONTAINER_RUNNING && status.restarts == 1;
}

static void a_container_without_ipv6(void **state)
{
    (void)
        state; /* would break: `sysctls: net.ipv6.conf.all.disable_ipv6: 1`, at the second start */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    struct error error = {0};
    fixture_spec(fixture, "a", "[ -e /data/again ] && sleep 1000; touch /data/again; exit 1",
                 &spec);
    assert_int_equal(text_list_add(&spec.sandbox.sysctls, "net.ipv6.conf.all.disable_ipv6=1"), 0);
    spec.restart.policy = RESTART_ANY;
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
    char text[ANSWER_BYTES] = "";
    assert_true(fixture_wait(fixture, runs_again, fixture));
    assert_int_equal(
        fixture_exec(fixture, "a", "ip route; ip -6 addr show dev eth0", text, sizeof(text)), 0);
    assert_non_null(strstr(text, "default via 10.88."));
    assert_null(strstr(text, "inet6"));
    fixture_free(fixture);
}

static void routers_are_still_heard(void **state)
{
    (void)state; /* would break: the machine's own IPv6, minutes after consort's first start */
    NEEDS_CONTAINERS();
    assert_int_equal(fixture_shell("cd /proc/sys/net/ipv6/conf && echo 0 > all/forwarding && "
                                   "ip link add up0 type veth peer name up1 && "
                                   "echo 1 > up0/accept_ra && echo 0 > up1/accept_ra"),
                     0);
    struct fixture *fixture = fixture_begin();
    assert_int_equal(
        fixture_shell("cd /proc/sys/net/ipv6/conf && [ $(cat all/forwarding) = 1 ] && "
                      "[ $(cat up0/accept_ra) = 2 ] && [ $(cat up1/accept_ra) = 0 ] && "
                      "[ $(cat ctest0/accept_ra) = 0 ]"),
        0);
    fixture_free(fixture);
    assert_int_equal(fixture_shell("ip link del up0"), 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_claims_anothers_address),
        cmocka_unit_test(nobody_claims_anothers_mac),
        cmocka_unit_test(a_machine_without_ipv6),
        cmocka_unit_test(a_container_without_ipv6),
        cmocka_unit_test(routers_are_still_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
