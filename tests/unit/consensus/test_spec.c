#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "consensus/bounds.h"
#include "consensus/level.h"
#include "consensus/spec.h"
#include "tests/fuzz/seed.h"

static void list_fill(struct text_list *list, const char *first, const char *second)
{
    assert_int_equal(text_list_add(list, first), 0);
    assert_int_equal(text_list_add(list, second), 0);
}

static void fill_mounts_and_hooks(struct service_spec *spec)
{
    spec->mounts = calloc(3, sizeof(*spec->mounts));
    spec->mounts[0] = (struct spec_mount){.type = SPEC_MOUNT_DEVICE,
                                          .source = strdup("data"),
                                          .target = strdup("/data"),
                                          .is_empty = true,
                                          .of_image = true,
                                          .propagation = SPEC_PROPAGATION_SHARED,
                                          .subpath = strdup("part"),
                                          .fs_type = strdup("nfs"),
                                          .fs_options = strdup("ro")};
    spec->mounts[1] = (struct spec_mount){.type = SPEC_MOUNT_TMPFS,
                                          .target = strdup("/tmp"),
                                          .read_only = true,
                                          .size_bytes = 1 << 20,
                                          .mode = 0700,
                                          .must_exist = true};
    spec->mounts[2] = (struct spec_mount){.type = SPEC_MOUNT_IMAGE,
                                          .source = strdup("assets:1"),
                                          .target = strdup("/assets"),
                                          .read_only = true,
                                          .subpath = strdup("part"),
                                          .image_digest = strdup("sha256:0")};
    spec->mount_count = 3;
    struct spec_hook *hook = spec_hook_add(&spec->post_start, &spec->post_start_count);
    list_fill(&hook->command, "migrate", "all");
    list_fill(&hook->environment, "A=1", "B=2");
    hook->user = strdup("root");
    hook->working_dir = strdup("/srv");
    hook = spec_hook_add(&spec->pre_stop, &spec->pre_stop_count);
    list_fill(&hook->command, "flush", "now");
    hook->privileged = true;
}

/* A spec that uses every field. */
static void spec_fill(struct service_spec *spec)
{
    service_spec_init(spec);
    memcpy(spec->name, "web", 4);
    spec->image = strdup("example/web:1");
    spec->image_digest = strdup("sha256:00ff");
    list_fill(&spec->command, "serve", "--port=80");
    list_fill(&spec->entrypoint, "/bin/app", "-v");
    list_fill(&spec->environment, "A=1", "B=");
    spec->working_dir = strdup("/srv");
    spec->user = strdup("www");
    spec->hostname = strdup("web");
    list_fill(&spec->cap_add, "NET_ADMIN", "SYS_TIME");
    list_fill(&spec->cap_drop, "CHOWN", "KILL");
    list_fill(&spec->extra_hosts, "db=10.0.0.1", "mail=10.0.0.2");
    spec->read_only = spec->init = spec->exclusive = true;
    spec->stop_signal = strdup("SIGQUIT");
    spec->ports = calloc(1, sizeof(*spec->ports));
    spec->ports[0] = (struct spec_port){8080, 80, SPEC_UDP};
    spec->port_count = 1;
    fill_mounts_and_hooks(spec);
    spec->files = calloc(1, sizeof(*spec->files));
    spec->files[0] = (struct spec_file){
        SPEC_FILE_SECRET, strdup("s_key"), strdup("/run/secrets/key"), 1, 2, 3, 4};
    spec->file_count = 1;
    spec->health.is_set = true;
    list_fill(&spec->health.test, "wget", "localhost");
    spec->health.probe_port = 80;
    spec->health.probe_path = strdup("/ok");
    spec->resources = (struct spec_resources){2000, 500, 1 << 30, 1 << 29, 100};
    list_fill(&spec->sandbox.groups, "video", "44");
    list_fill(&spec->sandbox.dns_search, "a.example", "b.example");
    list_fill(&spec->sandbox.dns_options, "ndots:2", "rotate");
    list_fill(&spec->sandbox.ulimits, "nofile=1:2", "core=0:0");
    list_fill(&spec->sandbox.sysctls, "net.core.somaxconn=9", "kernel.msgmax=1");
    list_fill(&spec->sandbox.devices, "/dev/fuse:/dev/fuse:rwm", "/dev/kvm:/dev/kvm:rw");
    spec->sandbox.cpuset = strdup("0-1");
    spec->sandbox.privileged = spec->sandbox.seccomp_off = true;
    spec->sandbox.may_gain_privileges = true;
    spec->sandbox.shm_bytes = 1 << 20;
    spec->sandbox.swap_bytes = UINT64_MAX;
    spec->sandbox.cpu_shares = 512;
    spec->sandbox.oom_score_adj = -500;
    spec->sandbox.tty = spec->sandbox.stdin_open = true;
    text_list_add(&spec->sandbox.options, "pid=host");
    spec->log_bytes_max = 1 << 16;
    spec->mode = SPEC_GLOBAL;
    list_fill(&spec->constraints, "node.labels.zone==a", "node.name!=b");
    list_fill(&spec->spread, "node.labels.zone", "node.labels.rack");
    list_fill(&spec->labels, "k=v", "l=w");
    spec->dependencies = calloc(2, sizeof(*spec->dependencies));
    spec->dependencies[0] = (struct spec_dependency){"db", SPEC_DEPENDS_HEALTHY};
    spec->dependencies[1] = (struct spec_dependency){"setup", SPEC_DEPENDS_COMPLETED};
    spec->dependency_count = 2;
    spec->failover_after_ms = 1234;
    spec->on_minority = SPEC_MINORITY_DUPLICATE;
    spec->network_mode = SPEC_NETWORK_HOST;
    spec->networks = calloc(2, sizeof(*spec->networks));
    spec->networks[0].name = strdup("s_front");
    list_fill(&spec->networks[0].aliases, "www", "site");
    list_fill(&spec->networks[0].subnets, "172.28.0.0/16", "fd00:28::/64");
    spec->networks[0].addresses[0] = address_from_v4(0xac1c0005, 0);
    spec->networks[0].addresses[1] = (struct address){.ip = {0xfd, 0, 0, 0x28, [15] = 5}};
    spec->networks[0].address_count = 2;
    spec->networks[1] = (struct spec_network){.name = strdup("s_back"), .internal = true};
    spec->network_count = 2;
    list_fill(&spec->servers, "192.0.2.53", "192.0.2.54");
}

static void spec_encode(const struct service_spec *spec, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    service_spec_write(&writer, level_newest, spec);
    assert_int_equal(writer_check(&writer), 0);
}

static int spec_decode(struct bytes bytes, struct service_spec *ret)
{
    struct reader reader;
    reader_init(&reader, bytes.data, bytes.size);
    return service_spec_read(&reader, level_newest, ret);
}

/* Breaks if a field is lost between peers, or in a copy. */
static void test_round_trip(void **state)
{
    (void)state;
    struct service_spec spec, read, copy;
    cleanup_buffer struct buffer bytes = {0}, read_bytes = {0}, copy_bytes = {0};
    spec_fill(&spec);
    spec_encode(&spec, &bytes);
    assert_int_equal(spec_decode(buffer_view(&bytes), &read), 0);
    seed_keep("spec", buffer_view(&bytes));
    spec_encode(&read, &read_bytes);
    assert_true(bytes_equal(buffer_view(&bytes), buffer_view(&read_bytes)));
    assert_int_equal(service_spec_copy(&spec, &copy), 0);
    service_spec_done(&spec);
    spec_encode(&copy, &copy_bytes);
    assert_true(bytes_equal(buffer_view(&bytes), buffer_view(&copy_bytes)));
    assert_string_equal(copy.files[0].target, "/run/secrets/key");
    assert_null(read.mounts[1].source);
    assert_int_equal(read.ports[0].protocol, SPEC_UDP);
    assert_int_equal(read.failover_after_ms, 1234);
    assert_string_equal(copy.dependencies[1].name, "setup");
    assert_string_equal(copy.networks[0].subnets.items[1], "fd00:28::/64");
    assert_int_equal(address_to_v4(&read.networks[0].addresses[0]), 0xac1c0005);
    assert_int_equal(copy.networks[0].addresses[1].ip[15], 5);
    service_spec_done(&read);
    service_spec_done(&copy);
}

/* Breaks if bytes that end early are taken for a spec, or leak. */
static void test_truncated(void **state)
{
    (void)state;
    struct service_spec spec, read;
    cleanup_buffer struct buffer bytes = {0};
    spec_fill(&spec);
    spec_encode(&spec, &bytes);
    service_spec_done(&spec);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(spec_decode((struct bytes){bytes.bytes, size}, &read), -EBADMSG);
}

/* Breaks if a service could have an address that is none, or that others have; or if what is no
 * range of addresses came to be a route. */
static void test_bad_addresses(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0,          0x7f000001, 0xe0000001, 0xffffffff,
                                   0x0a580001, 0x0a610005, 0xa9fe0101};
    struct service_spec spec, read;
    service_spec_init(&spec);
    spec.networks = calloc(1, sizeof(*spec.networks));
    spec.networks[0].name = strdup("s_front");
    spec.network_count = 1;
    spec.networks[0].address_count = 1;
    for (size_t i = 0; i <= array_count(bad); i++) {
        cleanup_buffer struct buffer bytes = {0};
        bool is_good = i == array_count(bad);
        spec.networks[0].addresses[0] = address_from_v4(is_good ? 0xac1c0005 : bad[i], 0);
        spec_encode(&spec, &bytes);
        assert_int_equal(spec_decode(buffer_view(&bytes), &read), is_good ? 0 : -EBADMSG);
        if (is_good)
            service_spec_done(&read);
    }
    cleanup_buffer struct buffer twice = {0}, no_range = {0};
    spec.networks[0].addresses[1] = spec.networks[0].addresses[0];
    spec.networks[0].address_count = 2;
    spec_encode(&spec, &twice);
    assert_int_equal(spec_decode(buffer_view(&twice), &read), -EBADMSG);
    spec.networks[0].address_count = 1;
    assert_int_equal(text_list_add(&spec.networks[0].subnets, "172.28.0.5"), 0);
    spec_encode(&spec, &no_range);
    assert_int_equal(spec_decode(buffer_view(&no_range), &read), -EBADMSG);
    service_spec_done(&spec);
}

/* Breaks if an enum out of its range or a list out of its bounds gets in. */
static void test_bounds(void **state)
{
    (void)state;
    struct service_spec spec, read;
    cleanup_buffer struct buffer bad_mode = {0}, long_text = {0};
    service_spec_init(&spec);
    spec.mode = SPEC_GLOBAL + 1;
    spec_encode(&spec, &bad_mode);
    assert_int_equal(spec_decode(buffer_view(&bad_mode), &read), -EBADMSG);
    spec.mode = SPEC_REPLICATED;
    spec.user = calloc(1, SPEC_TEXT_BYTES_MAX + 2);
    memset(spec.user, 'u', SPEC_TEXT_BYTES_MAX + 1);
    spec_encode(&spec, &long_text);
    assert_int_equal(spec_decode(buffer_view(&long_text), &read), -EBADMSG);
    service_spec_done(&spec);
}

/* Breaks if an image that a service mounts is not fetched, kept or agreed on like its own. */
static void test_images(void **state)
{
    (void)state;
    struct service_spec spec;
    struct spec_image image;
    service_spec_init(&spec);
    spec.image = strdup("web:1");
    static const struct spec_mount kinds[] = {
        {.type = SPEC_MOUNT_IMAGE}, {.type = SPEC_MOUNT_TMPFS}, {.type = SPEC_MOUNT_IMAGE}};
    static const char *const names[] = {"a:1", NULL, "b:1"};
    for (size_t i = 0; i < 3; i++) {
        struct spec_mount *mount = service_spec_add_mount(&spec);
        *mount = kinds[i];
        mount->source = names[i] ? strdup(names[i]) : NULL;
    }
    assert_int_equal(service_spec_set_digest(&spec, 0, "sha256:0"), 0);
    assert_int_equal(service_spec_set_digest(&spec, 2, "sha256:1"), 0);
    assert_int_equal(service_spec_set_digest(&spec, 2, "sha256:2"), 0);
    static const char *const found[][2] = {
        {"web:1", "sha256:0"}, {"a:1", NULL}, {"b:1", "sha256:2"}};
    for (size_t i = 0; i < 3; i++) {
        assert_true(service_spec_image(&spec, i, &image));
        assert_string_equal(image.name, found[i][0]);
        assert_true(found[i][1] ? strcmp(image.digest, found[i][1]) == 0 : !image.digest);
    }
    assert_false(service_spec_image(&spec, 3, &image));
    assert_true(service_spec_needs_image(&spec, "sha256:0"));
    assert_true(service_spec_needs_image(&spec, "sha256:2"));
    assert_false(service_spec_needs_image(&spec, "sha256:1"));
    service_spec_done(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_bad_addresses), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
