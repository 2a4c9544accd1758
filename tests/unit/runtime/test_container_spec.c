#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/container_spec.h"
#include "runtime/state.h"
#include "tests/fuzz/seed.h"

static const char digest[] =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void fill_hooks(struct container_spec *spec)
{
    struct container_hook *hook = container_hooks_add(&spec->post_start);
    text_list_add(&hook->command, "migrate");
    text_list_add(&hook->environment, "C=d");
    hook->user = strdup("root");
    hook->working_dir = strdup("/w");
    hook = container_hooks_add(&spec->pre_stop);
    text_list_add(&hook->command, "flush");
    hook->privileged = true;
}

/* A spec with something in every field. */
static void fill(struct container_spec *spec)
{
    container_spec_init(spec);
    spec->id = strdup("web-1");
    spec->name = strdup("shop/web.1");
    spec->image = strdup("sha256:00");
    spec->image_name = strdup("nginx");
    text_list_add(&spec->entrypoint, "/e");
    spec->entrypoint_clear = true;
    text_list_add(&spec->command, "c");
    text_list_add(&spec->environment, "A=b");
    spec->working_dir = strdup("/w");
    spec->user = strdup("u");
    spec->hostname = strdup("h");
    text_list_add(&spec->extra_hosts, "x=10.0.0.1");
    spec->dns_server = strdup("10.88.0.1");
    text_list_add(&spec->labels, "l=v");
    for (int type = MOUNT_BIND; type <= MOUNT_IMAGE; type++) {
        struct container_mount *mount = container_spec_add_mount(spec);
        mount->type = (enum mount_type)type;
        mount->source = strdup(type == MOUNT_BIND    ? "/source"
                               : type == MOUNT_IMAGE ? digest
                                                     : "vol");
        mount->target = strdup("/target");
        mount->read_only = true;
        mount->size_bytes = UINT64_MAX;
        buffer_append_text(&mount->content, "content");
        mount->mode = 0640;
        mount->uid = 1;
        mount->gid = UINT32_MAX;
        mount->propagation = strdup("rslave");
        mount->fs_type = strdup("nfs");
        mount->fs_options = strdup("soft");
        mount->is_anonymous = type == MOUNT_VOLUME;
        mount->subpath = type == MOUNT_VOLUME || type == MOUNT_IMAGE ? strdup("a/b") : NULL;
    }
    struct container_mount *secret = container_spec_add_mount(spec);
    secret->type = MOUNT_FILE;
    secret->target = strdup("/run/secrets/key");
    secret->secret = strdup("s_key");
    secret->secret_version = UINT64_MAX;
    spec->cpu_millicores = 1500;
    spec->memory_bytes = 1ull << 40;
    spec->pids_max = 7;
    text_list_add(&spec->capability_add, "ALL");
    text_list_add(&spec->capability_drop, "CHOWN");
    spec->read_only = spec->privileged_escalation = spec->init = true;
    spec->restart = (struct container_restart){RESTART_ANY, 1, 2, 3};
    spec->health = (struct container_health){.disabled = true,
                                             .interval_ms = 1,
                                             .timeout_ms = 2,
                                             .start_period_ms = 3,
                                             .start_interval_ms = 4,
                                             .retries = 5,
                                             .probe_port = 80,
                                             .probe_path = strdup("/ok")};
    text_list_add(&spec->health.command, "check");
    spec->stop_signal = 15;
    spec->stop_grace_ms = 30000;
    spec->log_bytes_max = 1 << 20;
    text_list_add(&spec->sandbox.groups, "video");
    text_list_add(&spec->sandbox.dns_search, "example.org");
    text_list_add(&spec->sandbox.dns_options, "ndots:2");
    text_list_add(&spec->sandbox.ulimits, "nofile=1:2");
    text_list_add(&spec->sandbox.sysctls, "net.core.somaxconn=9");
    text_list_add(&spec->sandbox.devices, "/dev/fuse:/dev/fuse:rwm");
    spec->sandbox.cpuset = strdup("0-1");
    spec->sandbox.privileged = spec->sandbox.seccomp_off = true;
    spec->sandbox.shm_bytes = 1 << 20;
    spec->sandbox.swap_bytes = UINT64_MAX;
    spec->sandbox.cpu_shares = 2;
    spec->sandbox.oom_score_adj = -1000;
    spec->sandbox.tty = spec->sandbox.stdin_open = true;
    text_list_add(&spec->sandbox.options, "swappiness=10");
    text_list_add(&spec->networks, "front");
    text_list_add(&spec->subnets, "172.28.0.0/16 front");
    fill_hooks(spec);
}

static void pack(const struct container_spec *spec, struct buffer *ret)
{
    struct writer writer;
    buffer_init(ret);
    writer_init(&writer, ret);
    container_spec_write(&writer, spec);
    assert_int_equal(writer_check(&writer), 0);
    seed_keep("container_spec", buffer_view(ret));
}

static void comes_back_as_it_was(void **state)
{
    (void)state; /* would break: containers that change when the daemon restarts */
    struct container_spec spec, copy;
    struct buffer first, second;
    fill(&spec);
    assert_int_equal(container_spec_check(&spec, NULL), 0);
    pack(&spec, &first);
    assert_int_equal(container_spec_copy(&copy, &spec), 0);
    pack(&copy, &second);
    assert_true(bytes_equal(buffer_view(&first), buffer_view(&second)));
    assert_string_equal(copy.mounts[3].target, "/target");
    assert_string_equal(copy.mounts[6].secret, "s_key");
    assert_string_equal(copy.mounts[MOUNT_IMAGE].source, digest);
    assert_string_equal(copy.mounts[MOUNT_IMAGE].subpath, "a/b");
    assert_true(copy.mounts[MOUNT_VOLUME].is_anonymous);
    assert_string_equal(copy.mounts[MOUNT_VOLUME].subpath, "a/b");
    assert_string_equal(copy.mounts[MOUNT_BIND].propagation, "rslave");
    assert_string_equal(copy.mounts[MOUNT_DEVICE].fs_type, "nfs");
    assert_string_equal(copy.mounts[MOUNT_DEVICE].fs_options, "soft");
    assert_string_equal(copy.post_start.items[0].user, "root");
    assert_true(copy.pre_stop.items[0].privileged);
    assert_int_equal(copy.health.retries, 5);
    assert_string_equal(copy.sandbox.options.items[0], "swappiness=10");
    assert_int_equal(copy.health.probe_port, 80);
    assert_string_equal(copy.health.probe_path, "/ok");
    assert_int_equal(copy.log_bytes_max, 1 << 20);
    buffer_done(&first);
    buffer_done(&second);
    container_spec_done(&copy);
    container_spec_done(&spec);
}

static void truncated_is_refused(void **state)
{
    (void)state; /* would break: a daemon that trusts half a file */
    struct container_spec spec, copy;
    struct buffer packed;
    fill(&spec);
    pack(&spec, &packed);
    for (size_t size = 0; size < packed.size; size++) {
        struct reader reader;
        reader_init(&reader, packed.bytes, size);
        assert_int_equal(container_spec_read(&reader, &copy), -EBADMSG);
    }
    buffer_done(&packed);
    container_spec_done(&spec);
}

static void checks_what_is_unsafe(void **state)
{
    (void)state; /* would break: a way out of the container by its own spec */
    static const char *const ids[] = {"", ".", "..", "a/b", ".hidden", "ä", "a b"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        assert_false(container_id_valid(ids[i]));
    static const char *const targets[] = {"relative", "/", "/a/../b", "/a/.."};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct container_spec spec;
        fill(&spec);
        free(spec.mounts[0].target);
        spec.mounts[0].target = strdup(targets[i]);
        struct error error;
        assert_int_equal(container_spec_check(&spec, &error), -EINVAL);
        assert_non_null(strstr(error.message, "web-1"));
        container_spec_done(&spec);
    }
    struct container_spec spec;
    fill(&spec);
    free(spec.mounts[1].source);
    spec.mounts[1].source = strdup("../etc");
    assert_int_equal(container_spec_check(&spec, NULL), -EINVAL);
    spec.mounts[1].is_anonymous = false;
    assert_int_equal(container_spec_check(&spec, NULL), -EINVAL);
    container_spec_done(&spec);
    fill(&spec);
    text_list_done(&spec.pre_stop.items[0].command);
    assert_int_equal(container_spec_check(&spec, NULL), -EINVAL);
    container_spec_done(&spec);
    fill(&spec);
    buffer_append_text(&spec.mounts[6].content, "hush"); /* it would be kept on the disk */
    assert_int_equal(container_spec_check(&spec, NULL), -EINVAL);
    container_spec_done(&spec);
}

/* Breaks if a container starts whose spec the next daemon cannot read: it would remove it. */
static void unreadable_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct container_spec spec;
        fill(&spec);
        spec.health.timeout_ms = i == 0 ? (int64_t)RUNTIME_DURATION_MS_MAX + 1 : 2;
        spec.restart.delay_ms = i == 1 ? -1 : 1;
        spec.stop_signal = i == 2 ? RUNTIME_SIGNAL_MAX + 1 : 15;
        spec.mounts[3].mode = i == 3 ? RUNTIME_MODE_MAX + 1 : 0640;
        assert_int_equal(container_spec_check(&spec, NULL), i < 4 ? -EINVAL : 0);
        container_spec_done(&spec);
    }
}

static void record_comes_back(void **state)
{
    (void)state; /* would break: finding a container's process again */
    struct container_record record, back;
    container_record_init(&record);
    record.wanted = WANT_STOP;
    record.ends = (struct network_ends){
        .ips = {0x0a580402, 0x0a580803, 0x0a580c04}, .count = 3, .open_count = 2};
    record.first_id = 0x70010000;
    record.process = (struct process){.pid = 4711, .start_ticks = 99, .boot_id = "boot"};
    record.over = OVER_FAILED;
    record.exit_code = 137;
    record.oom_killed = true;
    record.attempts = 3;
    record.restarts = 4;
    record.hooks_done = 2;
    record.started_wall_ms = 5;
    record.finished_wall_ms = 6;
    snprintf(record.error, sizeof(record.error), "why");
    struct buffer packed;
    struct writer writer;
    buffer_init(&packed);
    writer_init(&writer, &packed);
    container_record_write(&writer, &record);
    seed_keep("container_spec", buffer_view(&packed));
    struct reader reader;
    for (size_t size = 0; size < packed.size; size++) {
        reader_init(&reader, packed.bytes, size);
        assert_int_equal(container_record_read(&reader, &back), -EBADMSG);
    }
    reader_init(&reader, packed.bytes, packed.size);
    assert_int_equal(container_record_read(&reader, &back), 0);
    assert_int_equal(back.wanted, WANT_STOP);
    assert_int_equal(back.process.pid, 4711);
    assert_int_equal(back.hooks_done, 2);
    assert_memory_equal(&back.ends, &record.ends, sizeof(back.ends));
    assert_int_equal(back.first_id, 0x70010000);
    assert_string_equal(back.process.boot_id, "boot");
    assert_int_equal(back.over, OVER_FAILED);
    assert_int_equal(back.exit_code, 137);
    assert_string_equal(back.error, "why");
    buffer_done(&packed);
    record.first_id = 65535; /* the machine's own users */
    writer_init(&writer, &packed);
    container_record_write(&writer, &record);
    reader_init(&reader, packed.bytes, packed.size);
    assert_int_equal(container_record_read(&reader, &back), -EBADMSG);
    buffer_done(&packed);
}

static void process_of_another_time_is_no_process(void **state)
{
    (void)state; /* would break: signals sent to strangers after pids were used again */
    struct process self;
    assert_int_equal(process_identify(getpid(), &self), 0);
    assert_int_equal(process_check(&self), 0);
    assert_int_equal(process_signal(&self, 0), 0);
    self.start_ticks++;
    assert_int_equal(process_check(&self), -ESRCH);
    assert_int_equal(process_signal(&self, 9), -ESRCH);
    self.start_ticks--;
    self.boot_id[0] ^= 1;
    assert_int_equal(process_check(&self), -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(unreadable_refused),
        cmocka_unit_test(truncated_is_refused),
        cmocka_unit_test(checks_what_is_unsafe),
        cmocka_unit_test(record_comes_back),
        cmocka_unit_test(process_of_another_time_is_no_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
