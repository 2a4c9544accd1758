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
    bench_warn_service("    ports: ['127.0.0.1:80:80']\n",
                       ":4: services.web.ports: published on all of every peer's addresses");
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
                       ":4: services.web.ports: published on all of every peer's addresses");
}

/* Breaks if what the local driver's options say is not what is mounted. */
static void test_driver_opts(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("services: {web: {image: a, volumes: ['a:/a', 'b:/b', '/new:/c:nocopy',\n"
               "  {type: bind, source: /d, target: /d, bind: {create_host_path: false}}]}}\n"
               "volumes:\n  a: {driver_opts: {type: none, o: bind, device: /srv/data}}\n"
               "  b: {driver_opts: {type: tmpfs, o: 'size=1m', device: tmpfs}}\n",
               &result);
    const struct spec_mount *mounts = result.services[0].mounts;
    assert_int_equal(mounts[0].type, SPEC_MOUNT_BIND);
    assert_string_equal(mounts[0].source, "/srv/data");
    assert_true(mounts[0].must_exist);
    assert_int_equal(mounts[1].type, SPEC_MOUNT_TMPFS);
    assert_int_equal(mounts[1].size_bytes, 1 << 20);
    assert_false(mounts[2].must_exist);
    assert_true(mounts[3].must_exist);
    compose_result_done(&result);
    bench_warn(
        "services: {web: {image: a, volumes: ['a:/a']}}\nvolumes:\n"
        "  a: {driver_opts: {type: nfs, device: ':/x'}}\n",
        ":3: volumes.a.driver_opts: ignored: a volume is a folder of its machine's; mount what "
        "is elsewhere on each machine, and give it as device, with o: bind");
}

/* Breaks if two containers write to the same files during an update, unless the file wants it so.
 */
static void test_order(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        uint8_t order;
    } cases[] = {
        {"    volumes: ['data:/data']\n", SPEC_STOP_FIRST},
        {"    volumes: ['./data:/data']\n", SPEC_STOP_FIRST},
        {"    volumes: ['./data:/data:ro', '/anonymous']\n    tmpfs: /tmp\n", SPEC_START_FIRST},
        {"    volumes: ['data:/data']\n    deploy: {update_config: {order: start-first}}\n",
         SPEC_START_FIRST},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct compose_result result;
        bench_load_service(cases[i].lines, &result);
        assert_int_equal(result.services[0].update.order, cases[i].order);
        compose_result_done(&result);
    }
}

/* Breaks if a volume of another name, or another stack's, is taken for the stack's own; or a tmpfs
 * has another mode. */
static void test_volume_names(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("services: {web: {image: a, volumes: ['a:/a', 'b:/b', 'c:/c'],\n"
               "  tmpfs: '/t:size=1m,mode=700'}}\n"
               "volumes: {a: {name: shared}, b: {external: true}, c: {driver: local}}\n",
               &result);
    const struct spec_mount *mounts = result.services[0].mounts;
    assert_string_equal(mounts[0].source, "shared");
    assert_string_equal(mounts[1].source, "b");
    assert_string_equal(mounts[2].source, "shop_c");
    assert_int_equal(mounts[3].mode, 0700);
    compose_result_done(&result);
}

/* Breaks if data lies elsewhere than it is written. */
static void test_volumes(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load_service(
        "    volumes: ['data:/data:ro', /own, '/srv/../a/./b//c:/c/.', {type: bind,\n"
        "      source: /x, target: /y, read_only: true}]\n"
        "    tmpfs: ['/run:size=2M']\n",
        &result);
    const struct spec_mount *mounts = result.services[0].mounts;
    assert_int_equal(result.services[0].mount_count, 5);
    assert_int_equal(mounts[0].type, SPEC_MOUNT_VOLUME);
    assert_string_equal(mounts[0].source, "shop_data");
    assert_true(mounts[0].read_only);
    assert_null(mounts[1].source);
    assert_string_equal(mounts[1].target, "/own");
    assert_int_equal(mounts[2].type, SPEC_MOUNT_BIND);
    assert_string_equal(mounts[2].source, "/a/b/c");
    assert_string_equal(mounts[2].target, "/c");
    assert_string_equal(mounts[3].source, "/x");
    assert_true(mounts[3].read_only);
    assert_int_equal(mounts[4].type, SPEC_MOUNT_TMPFS);
    assert_int_equal(mounts[4].size_bytes, 2 << 20);
    compose_result_done(&result);
    bench_load_service("    volumes: ['../data:/d']\n", &result);
    assert_string_equal(result.services[0].mounts[0].source, "/tmp/data");
    compose_result_done(&result);
    bench_warn_service(
        "    volumes: ['data:/data:z']\n",
        ":4: services.web.volumes: the option z is not supported by Consort: ignored");
    bench_warn_service(
        "    tmpfs: '/run:uid=7'\n",
        ":4: services.web.tmpfs: the option uid=7 is not supported by Consort: ignored");
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
        {"    volumes: ['a:b']\n",
         ":4: services.web.volumes: the path in the container must be absolute, and below /"},
        {"    volumes: ['a:/..']\n",
         ":4: services.web.volumes: the path in the container must be absolute, and below /"},
        {"    volumes: ['my data:/d']\n",
         ":4: services.web.volumes: my data can't be a volume's name: letters, digits, - _ and . "
         "are expected, with the stack's name at most 64; a path begins with / or ."},
        {"    volumes: [{type: nfs, target: /x}]\n",
         ":4: services.web.volumes.type: nfs is not one of volume, bind, tmpfs"},
        {"    volumes: [{type: bind, target: /x}]\n",
         ":4: services.web.volumes: a bind mount needs a source"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        bench_refuse_service(cases[i].lines, cases[i].words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ports),   cmocka_unit_test(test_port_ranges),
        cmocka_unit_test(test_order),   cmocka_unit_test(test_driver_opts),
        cmocka_unit_test(test_volumes), cmocka_unit_test(test_volume_names),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
