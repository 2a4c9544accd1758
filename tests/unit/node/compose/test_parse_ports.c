#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/node/compose/compose_bench.h"

/* Breaks if a port is published otherwise than it is written. */
static void test_ports(void **state)
{
    (void)state;
    static const uint16_t expected[][2] = {{8080, 80}, {0, 81}, {8082, 82}};
    struct compose_result result;
    bench_load_service("    ports: ['8080:80', 81/tcp, {target: 82, published: 8082, name: x}]\n",
                       &result);
    const struct service_spec *spec = &result.services[0];
    assert_int_equal(spec->port_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(spec->ports[i].published, expected[i][0]);
        assert_int_equal(spec->ports[i].target, expected[i][1]);
    }
    compose_result_done(&result);
    bench_load_service("    ports: ['53:5353/udp', {target: 54, protocol: udp}]\n"
                       "    expose: [80, '8000-8010', '55/udp']\n",
                       &result);
    spec = &result.services[0];
    assert_int_equal(spec->port_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(spec->ports[i].protocol, SPEC_UDP);
    assert_int_equal(spec->ports[0].published, 53);
    assert_int_equal(spec->ports[0].target, 5353);
    assert_int_equal(spec->ports[2].published, 0);
    assert_int_equal(spec->ports[2].target, 55);
    compose_result_done(&result);
    bench_load_service("    ports: ['53:53/UDP', ':80:80', '0.0.0.0:81:81', '[::]:82:82',\n"
                       "      {target: 83, published: 83, host_ip: 0.0.0.0}]\n"
                       "    network_mode: default\n",
                       &result);
    assert_int_equal(result.services[0].port_count, 5);
    assert_int_equal(result.services[0].ports[0].protocol, SPEC_UDP);
    assert_int_equal(result.services[0].ports[1].published, 80);
    assert_int_equal(result.services[0].network_mode, SPEC_NETWORK_BRIDGE);
    compose_result_done(&result);
    bench_warn_service("    ports: ['127.0.0.1:80:80']\n",
                       ":4: services.web.ports: published on all of every peer's addresses, not on "
                       "127.0.0.1 alone");
    bench_warn_service("    ports: [{target: 80, mode: host}]\n",
                       ":4: services.web.ports.mode: host is not supported by Consort: as ingress");
    bench_warn_service(
        "    ports: [{target: 80, host_ip: 1.2.3.4}]\n",
        ":4: services.web.ports.host_ip: ignored: every peer answers at all of its addresses");
}

/* Breaks if a range of ports is published as another. */
static void test_port_ranges(void **state)
{
    (void)state;
    static const uint16_t expected[][2] = {{0, 3000},    {0, 3001},    {9090, 8080}, {9091, 8081},
                                           {7000, 7000}, {7001, 7001}, {0, 80}};
    struct compose_result result;
    bench_load_service("    ports: ['3000-3001', '9090-9091:8080-8081', {target: 7000, published: "
                       "'7000'}, '7001:7001', '127.0.0.1::80']\n",
                       &result);
    const struct service_spec *spec = &result.services[0];
    assert_int_equal(spec->port_count, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < spec->port_count; i++) {
        assert_int_equal(spec->ports[i].published, expected[i][0]);
        assert_int_equal(spec->ports[i].target, expected[i][1]);
    }
    compose_result_done(&result);
    bench_warn_service("    ports: ['8000-8010:80']\n",
                       ":4: services.web.ports: of the ports to choose from, 8000 is published");
    bench_warn_service("    ports: ['[::1]:8000:80']\n",
                       ":4: services.web.ports: published on all of every peer's addresses, not on "
                       "[::1] alone");
}

/* Breaks if a port published at two of a machine's addresses counts as published twice. */
static void test_two_addresses(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load_service("    ports: ['[::]:53:53/udp', '0.0.0.0:53:53/udp', '0.0.0.0:53:53/tcp',\n"
                       "      '54:53']\n",
                       &result);
    assert_int_equal(result.services[0].port_count, 3);
    compose_result_done(&result);
}

/* Breaks if a mistake is taken, or its message does not say where it is and what would be right. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *words;
    } cases[] = {
        {"    ports: ['80:']\n",
         ":4: services.web.ports: 80:: PUBLISHED:TARGET is expected, as in 8080:80"},
        {"    ports: ['8000-8010:80-81']\n",
         ":4: services.web.ports: 11 ports published for 2 in the container"},
        {"    ports: ['8010-8000:80']\n",
         ":4: services.web.ports: 8010-8000:80: PUBLISHED:TARGET is expected, as in 8080:80"},
        {"    ports: ['80:-18446744073709551536']\n",
         ":4: services.web.ports: 80:-18446744073709551536: PUBLISHED:TARGET is expected, as in "
         "8080:80"},
        {"    ports: ['80:65536']\n",
         ":4: services.web.ports: 80:65536: PUBLISHED:TARGET is expected, as in 8080:80"},
        {"    ports: ['80:80/sctp']\n",
         ":4: services.web.ports: the protocol sctp is neither tcp nor udp"},
        {"    ports: [{published: 80}]\n", ":4: services.web.ports: a port needs a target"},
        {"    ports: [{target: 80, publish: 80}]\n",
         ":4: services.web.ports.publish: unknown key; did you mean published?"},
        {"    ports: 80\n", ":4: services.web.ports: a list is expected"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        bench_refuse_service(cases[i].lines, cases[i].words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_port_ranges),
        cmocka_unit_test(test_two_addresses),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
