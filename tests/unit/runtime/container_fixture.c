#include "container_fixture.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/cgroup.h"
#include "runtime/image/blob_store.h"
#include "runtime/process.h"
#include "runtime/tree.h"

enum {
    WAIT_MS = 20 * 1000, /* only a hang takes this long */
    TICK_MS = 20,
};

int fixture_shell(const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    const char *argv[] = {"/bin/sh", "-c", line, NULL};
    return process_run(argv, WAIT_MS, NULL);
}

bool fixture_possible(void)
{
    static int possible = -1;
    if (possible >= 0)
        return possible;
    possible = geteuid() == 0 && fixture_shell("command -v crun conmon busybox") == 0 &&
               unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
               mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    /* crun wants every hierarchy of cgroup v1, and some machines lack this one */
    if (possible && !cgroup_is_unified())
        fixture_shell("mkdir -p /sys/fs/cgroup/hugetlb; grep -q cgroup/hugetlb /proc/mounts || "
                      "mount -t cgroup -o hugetlb hugetlb /sys/fs/cgroup/hugetlb");
    return possible;
}

static void put(struct fixture *fixture, const void *data, size_t size, char ret[DIGEST_TEXT_BYTES])
{
    struct digest digest;
    struct error error;
    assert_int_equal(
        blob_store_put(image_store_blobs(fixture->images), data, size, &digest, &error), 0);
    digest_format(&digest, ret);
}

static void put_file(struct fixture *fixture, const char *path, char ret[DIGEST_TEXT_BYTES],
                     size_t *ret_size)
{
    cleanup_buffer struct buffer content;
    buffer_init(&content);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (;;) {
        assert_int_equal(buffer_reserve(&content, 65536), 0);
        ssize_t got = read(fd, content.bytes + content.size, 65536);
        assert_true(got >= 0);
        if (got == 0)
            break;
        content.size += (size_t)got;
    }
    close(fd);
    *ret_size = content.size;
    put(fixture, content.bytes, content.size, ret);
}

static void make_image(struct fixture *fixture)
{
    char layer[DIGEST_TEXT_BYTES], config[DIGEST_TEXT_BYTES], text[2048], path[128];
    size_t layer_size;
    assert_int_equal(
        fixture_shell(
            "cd %s && mkdir -p root/bin root/etc root/tmp root/data && chmod 1777 root/tmp && "
            "chown 1000:1000 root/data && cp $(command -v busybox) root/bin/busybox && "
            "for a in $(busybox --list); do [ $a = busybox ] || ln -s busybox root/bin/$a; done && "
            "echo 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh' "
            "> root/etc/passwd && echo 'app:x:1000:\nextra:x:2000:app' > root/etc/group && "
            "tar -C root -cf layer.tar . && rm -r root",
            fixture->directory),
        0);
    snprintf(path, sizeof(path), "%s/layer.tar", fixture->directory);
    put_file(fixture, path, layer, &layer_size);
    unlink(path);
    int size = snprintf(text, sizeof(text),
                        "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"sh\"],"
                        "\"Env\":[\"FROM_IMAGE=yes\",\"PATH=/bin\"]},\"rootfs\":{\"type\":"
                        "\"layers\",\"diff_ids\":[\"%s\"]}}",
                        image_host_architecture(), layer);
    put(fixture, text, (size_t)size, config);
    size = snprintf(text, sizeof(text),
                    "{\"schemaVersion\":2,\"mediaType\":"
                    "\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":"
                    "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%d},"
                    "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
                    "\"digest\":\"%s\",\"size\":%zu}]}",
                    config, size, layer, layer_size);
    put(fixture, text, (size_t)size, fixture->image);
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void on_ready(void *context, const struct error *error)
{
    struct fixture *fixture = context;
    fixture->ready = true;
    fixture->failed = error != NULL;
    if (error)
        print_error("not ready: %s\n", error->message);
}

static void on_change(void *context, const struct container_status *status)
{
    struct fixture *fixture = context;
    fixture->changes++;
    if (status->state == CONTAINER_REMOVED)
        snprintf(fixture->removed, sizeof(fixture->removed), "%s", status->id);
}

static bool needs_volume(void *context, const char *name)
{
    (void)name;
    return ((const struct fixture *)context)->keeps_volumes;
}

static int on_secret(void *context, const char *name, uint64_t version, struct buffer *ret,
                     struct error *error)
{
    const struct fixture *fixture = context;
    if (!fixture->secret)
        return error_set(error, -EAGAIN, "version %u of %s is not known yet", (unsigned)version,
                         name);
    return buffer_append_text(ret, fixture->secret);
}

static bool is_ready(void *context)
{
    return ((struct fixture *)context)->ready;
}

void fixture_open(struct fixture *fixture)
{
    char data[128], run[128], store[128];
    snprintf(data, sizeof(data), "%s/data", fixture->directory);
    snprintf(run, sizeof(run), "%s/run", fixture->directory);
    snprintf(store, sizeof(store), "%s/images", fixture->directory);
    struct error error = {0};
    if (!fixture->images)
        assert_int_equal(image_store_open(store, &fixture->images, &error), 0);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    uv_timer_init(&fixture->loop, &fixture->tick);
    uv_timer_start(&fixture->tick, on_tick, TICK_MS, TICK_MS);
    struct runtime_config config = {
        .data_dir = data,
        .run_dir = run,
        .instance = fixture->instance,
        .bridge = "ctest0",
        .subnet = "10.88.0.0/16",
        .mesh_port = 7301,
        .conmon = fixture->conmon,
        .oci_runtime = fixture->oci_runtime,
        .launch_timeout_ms = fixture->launch_timeout_ms,
        .images = fixture->images,
        .userns = fixture->userns,
        .context = fixture,
        .on_ready = on_ready,
        .on_change = on_change,
        .on_secret = on_secret,
        .needs_volume = needs_volume,
    };
    fixture->ready = fixture->failed = fixture->closed = false;
    int result = runtime_new(&fixture->loop, &config, &fixture->runtime, &error);
    if (result < 0)
        print_error("%s\n", error.message);
    assert_int_equal(result, 0);
    assert_true(fixture_wait(fixture, is_ready, fixture));
    assert_false(fixture->failed);
}

struct fixture *fixture_new(void)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/consort-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    char run[128]; /* roots of user namespaces pass through both */
    snprintf(run, sizeof(run), "%s/run", fixture->directory);
    assert_int_equal(chmod(fixture->directory, 0711), 0);
    assert_int_equal(mkdir(run, 0711), 0);
    snprintf(fixture->instance, sizeof(fixture->instance), "consort-test-%d", (int)getpid());
    char store[128];
    struct error error = {0};
    snprintf(store, sizeof(store), "%s/images", fixture->directory);
    assert_int_equal(image_store_open(store, &fixture->images, &error), 0);
    make_image(fixture);
    return fixture;
}

struct fixture *fixture_begin(void)
{
    struct fixture *fixture = fixture_new();
    fixture_open(fixture);
    return fixture;
}

static void on_closed(void *context)
{
    ((struct fixture *)context)->closed = true;
}

static bool is_closed(void *context)
{
    return ((struct fixture *)context)->closed;
}

void fixture_close(struct fixture *fixture)
{
    runtime_close(fixture->runtime, on_closed, fixture);
    assert_true(fixture_wait(fixture, is_closed, fixture));
    uv_close((uv_handle_t *)&fixture->tick, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    int result = uv_loop_close(&fixture->loop);
    if (result < 0)
        uv_print_all_handles(&fixture->loop, stderr);
    assert_int_equal(result, 0); /* no handle was forgotten */
    image_store_free(fixture->images);
    fixture->images = NULL;
}

static void remove_one(void *context, const struct container_status *status)
{
    struct fixture *fixture = context;
    runtime_remove(fixture->runtime, status->id);
}

static void count_one(void *context, const struct container_status *status)
{
    (void)status;
    (*(unsigned *)context)++;
}

static bool is_empty(void *context)
{
    unsigned count = 0;
    runtime_list(((struct fixture *)context)->runtime, count_one, &count);
    return count == 0;
}

void fixture_free(struct fixture *fixture)
{
    runtime_list(fixture->runtime, remove_one, fixture);
    assert_true(fixture_wait(fixture, is_empty, fixture));
    fixture_close(fixture);
    assert_int_equal(fixture_count_debris(fixture), 0);
    assert_int_equal(tree_remove_path(fixture->directory), 0);
    free(fixture);
}

static void add_text(struct text_list *list, const char *text)
{
    assert_int_equal(text_list_add(list, text), 0);
}

void fixture_spec(struct fixture *fixture, const char *id, const char *script,
                  struct container_spec *ret)
{
    container_spec_init(ret);
    ret->id = strdup(id);
    ret->image = strdup(fixture->image);
    add_text(&ret->command, "sh");
    add_text(&ret->command, "-c");
    add_text(&ret->command, script);
    ret->stop_grace_ms = 1000;
    ret->restart.delay_ms = 50;
}

void fixture_start(struct fixture *fixture, const char *id, const char *script)
{
    struct container_spec spec;
    struct error error = {0};
    fixture_spec(fixture, id, script, &spec);
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
}

bool fixture_wait(struct fixture *fixture, bool (*condition)(void *context), void *context)
{
    uint64_t deadline_ms = uv_hrtime() / 1000000 + WAIT_MS;
    while (!condition(context)) {
        if (uv_hrtime() / 1000000 > deadline_ms)
            return false;
        uv_run(&fixture->loop, UV_RUN_ONCE);
    }
    return true;
}

struct state_wait {
    struct fixture *fixture;
    const char *id;
    enum container_state state;
};

static bool has_state(void *context)
{
    const struct state_wait *wait = context;
    struct container_status status;
    return runtime_status(wait->fixture->runtime, wait->id, &status) == 0 &&
           (status.state == wait->state || status.state == CONTAINER_FAILED);
}

bool fixture_wait_state(struct fixture *fixture, const char *id, enum container_state state)
{
    struct state_wait wait = {.fixture = fixture, .id = id, .state = state};
    if (fixture_wait(fixture, has_state, &wait) && fixture_status(fixture, id).state == state)
        return true;
    struct container_status status = fixture_status(fixture, id);
    print_error("%s is %s, not %s: %s\n", id, container_state_name(status.state),
                container_state_name(state), status.error);
    return false;
}

static bool is_gone(void *context)
{
    const struct state_wait *wait = context;
    struct container_status status;
    return runtime_status(wait->fixture->runtime, wait->id, &status) == -ENOENT;
}

bool fixture_wait_gone(struct fixture *fixture, const char *id)
{
    struct state_wait wait = {.fixture = fixture, .id = id};
    return fixture_wait(fixture, is_gone, &wait);
}

struct wanted_stats {
    const char *id;
    bool is_done, is_found;
    struct container_stats stats;
};

static void on_stats(void *context, const struct stats_entry *entries, size_t count)
{
    struct wanted_stats *wanted = context;
    const struct container_stats *stats = stats_find(entries, count, wanted->id);
    wanted->is_done = true;
    wanted->is_found = stats != NULL;
    if (stats)
        wanted->stats = *stats;
}

static bool has_stats(void *context)
{
    return ((struct wanted_stats *)context)->is_done;
}

struct container_stats fixture_stats(struct fixture *fixture, const char *id)
{
    struct wanted_stats wanted = {.id = id};
    const struct stats_callback callback = {&wanted, on_stats};
    int result = runtime_stats(fixture->runtime, &callback);
    assert(result == 0);
    bool is_done = fixture_wait(fixture, has_stats, &wanted);
    assert(is_done);
    assert(wanted.is_found);
    return wanted.stats;
}

struct container_status fixture_status(struct fixture *fixture, const char *id)
{
    struct container_status status;
    assert_int_equal(runtime_status(fixture->runtime, id, &status), 0);
    return status;
}

struct text_sink {
    char *text;
    size_t capacity;
    size_t size;
    bool done;
    int code;
};

static void sink_add(struct text_sink *sink, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.size && sink->size + 1 < sink->capacity; i++)
        sink->text[sink->size++] = (char)bytes.data[i];
    if (sink->capacity > 0)
        sink->text[sink->size] = '\0';
}

static void sink_output(void *context, bool is_error, struct bytes output)
{
    (void)is_error;
    sink_add(context, output);
}

static void sink_exit(void *context, int exit_code)
{
    struct text_sink *sink = context;
    sink->done = true;
    sink->code = exit_code;
}

static bool sink_done(void *context)
{
    return ((struct text_sink *)context)->done;
}

int fixture_exec(struct fixture *fixture, const char *id, const char *script, char *output,
                 size_t capacity)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct text_sink sink = {.text = output, .capacity = capacity};
    struct exec_options options = {.argv = argv};
    struct exec_callbacks callbacks = {
        .context = &sink, .on_output = sink_output, .on_exit = sink_exit};
    struct runtime_exec *exec;
    if (capacity > 0)
        output[0] = '\0';
    assert_int_equal(runtime_exec(fixture->runtime, id, &options, &callbacks, &exec, NULL), 0);
    assert_true(fixture_wait(fixture, sink_done, &sink));
    runtime_exec_close(exec);
    return sink.code;
}

static void sink_line(void *context, int64_t wall_ns, bool is_error, struct bytes line)
{
    (void)wall_ns;
    (void)is_error;
    sink_add(context, line);
    sink_add(context, (struct bytes){(const uint8_t *)"\n", 1});
}

void fixture_logs(struct fixture *fixture, const char *id, int64_t tail, char *output,
                  size_t capacity)
{
    struct text_sink sink = {.text = output, .capacity = capacity};
    struct logs_options options = {.tail = tail};
    struct logs_callbacks callbacks = {.context = &sink, .on_line = sink_line, .on_end = sink_exit};
    struct runtime_logs *logs;
    output[0] = '\0';
    assert_int_equal(runtime_logs_open(fixture->runtime, id, &options, &callbacks, &logs), 0);
    assert_true(fixture_wait(fixture, sink_done, &sink));
    assert_int_equal(sink.code, 0);
    runtime_logs_close(logs);
}

static void count_cgroup(void *context, const char *id)
{
    print_message("left: control group %s\n", id);
    (*(unsigned *)context)++;
}

static unsigned count_entries(const char *path)
{
    unsigned count = 0;
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        print_message("left: %s/%s\n", path, entry->d_name);
        count++;
    }
    if (directory)
        closedir(directory);
    return count;
}

unsigned fixture_count_processes(const char *word, const char *other, bool tell)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc");
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;) {
        char path[300], line[4096];
        snprintf(path, sizeof(path), "/proc/%.200s/cmdline", entry->d_name);
        FILE *file = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? fopen(path, "re") : NULL;
        if (!file)
            continue;
        size_t size = fread(line, 1, sizeof(line) - 1, file);
        line[size] = '\0';
        fclose(file);
        if (memmem(line, size, word, strlen(word)) && memmem(line, size, other, strlen(other))) {
            count++;
            if (tell)
                print_message("left: process %s, %s\n", entry->d_name, line);
        }
    }
    if (directory)
        closedir(directory);
    return count;
}

unsigned fixture_count_debris(struct fixture *fixture)
{
    static const char *const directories[] = {"run/containers", "run/netns", "run/oci",
                                              "run/userns",     "run/exits", "data/containers",
                                              "run/sockets"};
    unsigned count = 0;
    char line[4096];
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts && fgets(line, sizeof(line), mounts)) {
        if (!strstr(line, fixture->directory))
            continue;
        print_message("left: mount %s", line);
        count++;
    }
    if (mounts)
        fclose(mounts);
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        snprintf(line, sizeof(line), "%s/%s", fixture->directory, directories[i]);
        count += count_entries(line);
    }
    struct if_nameindex *links = if_nameindex();
    for (struct if_nameindex *link = links; link && link->if_index != 0; link++) {
        if (strncmp(link->if_name, "ctest0", 6) == 0 && link->if_name[6] != '\0') {
            print_message("left: interface %s\n", link->if_name);
            count++;
        }
    }
    if_freenameindex(links);
    if (fixture_shell("nft list table bridge consort 2>/dev/null | grep '\"ctest0[-_][0-9a-f]'") ==
        0) {
        print_message("left: elements of the guard's sets\n");
        count++;
    }
    cgroup_list(fixture->instance, count_cgroup, &count);
    return count + fixture_count_processes("conmon", fixture->directory, true) +
           fixture_count_processes("crun", fixture->directory, true);
}
