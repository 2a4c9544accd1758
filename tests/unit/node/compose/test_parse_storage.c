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
    bench_warn_service("    ports: [{target: 80, host_ip: 1.2.3.4}]\n",
                       ":4: services.web.ports.host_ip: not supported by Consort: ignored");
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
        {"    ports: ['8000-8010:80']\n",
         ":4: services.web.ports: 8000-8010:80: PUBLISHED:TARGET is expected, as in 8080:80"},
        {"    ports: ['80:-18446744073709551536']\n",
         ":4: services.web.ports: 80:-18446744073709551536: PUBLISHED:TARGET is expected, as in "
         "8080:80"},
        {"    ports: ['80:65536']\n", ":4: services.web.ports: a port is a number from 1 to 65535"},
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
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_volume_names),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
