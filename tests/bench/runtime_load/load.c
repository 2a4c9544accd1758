/* usage: runtime_load start DIRECTORY ARCHIVE IMAGE OUT ROUNDS PARALLEL
 *        runtime_load unpack DIRECTORY ARCHIVE IMAGE
 *
 * The runtime alone, for `tools/bench runtime`: what it takes from runtime_start() to a container's
 * first instruction, to stop it, and to run a command in it, ROUNDS times one by one; then PARALLEL
 * containers at once. Containers run /now of the image, which notes that moment in OUT, a
 * directory. Or what it takes to import and unpack an image. Prints one line of JSON, in
 * milliseconds.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/file.h"
#include "runtime/image/image_import.h"
#include "runtime/runtime.h"

enum {
    WAIT_MS = 120 * 1000,
    TICK_MS = 1,
    ROUNDS_MAX = 1000,
};

struct load {
    uv_loop_t loop;
    uv_timer_t tick;
    struct runtime *runtime;
    struct image_store *images;
    char image[DIGEST_TEXT_BYTES];
    const char *out;
    bool ready;
    bool exec_over;
};

static void die(const char *what, const struct error *error)
{
    fprintf(stderr, "runtime_load: %s: %s\n", what, error ? error->message : "");
    exit(1);
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void on_ready(void *context, const struct error *error)
{
    if (error)
        die("not ready", error);
    ((struct load *)context)->ready = true;
}

static void on_change(void *context, const struct container_status *status)
{
    (void)context;
    if (status->state == CONTAINER_FAILED) {
        fprintf(stderr, "runtime_load: %s: %s\n", status->id, status->error);
        exit(1);
    }
}

static void wait_for(struct load *load, bool (*condition)(struct load *load, const char *id),
                     const char *id)
{
    uint64_t deadline_ms = uv_hrtime() / 1000000 + WAIT_MS;
    while (!condition(load, id)) {
        if (uv_hrtime() / 1000000 > deadline_ms)
            die("waited too long", NULL);
        uv_run(&load->loop, UV_RUN_ONCE);
    }
}

static bool is_ready(struct load *load, const char *id)
{
    (void)id;
    return load->ready;
}

static bool is_in_state(struct load *load, const char *id, enum container_state state)
{
    struct container_status status;
    return runtime_status(load->runtime, id, &status) == 0 && status.state == state;
}

static bool is_running(struct load *load, const char *id)
{
    return is_in_state(load, id, CONTAINER_RUNNING);
}

static bool is_over(struct load *load, const char *id)
{
    return is_in_state(load, id, CONTAINER_EXITED);
}

static bool is_gone(struct load *load, const char *id)
{
    struct container_status status;
    return runtime_status(load->runtime, id, &status) == -ENOENT;
}

static bool exec_is_over(struct load *load, const char *id)
{
    (void)id;
    return load->exec_over;
}

static uint64_t noted_ns(struct load *load, const char *id)
{
    char path[PATH_BYTES];
    uint64_t ns;
    path_format(path, sizeof(path), "%s/%s", load->out, id);
    return file_read_u64(path, &ns) < 0 ? 0 : ns;
}

static bool has_noted(struct load *load, const char *id)
{
    return noted_ns(load, id) != 0;
}

static void import(struct load *load, const char *directory, char **words)
{
    char path[PATH_BYTES];
    struct error error = {0};
    struct image *image = NULL;
    struct digest digest;
    struct text_list layers = {0};
    path_format(path, sizeof(path), "%s/images", directory);
    if (file_make_directories(directory, 0700) < 0)
        die(directory, NULL);
    if (image_store_open(path, &load->images, &error) < 0 ||
        image_import(load->images, words[0], NULL, NULL, NULL, &error) < 0 ||
        image_store_resolve(load->images, words[1], &digest, &error) < 0 ||
        image_store_load(load->images, &digest, &image, &error) < 0 ||
        image_store_unpack(load->images, image, &layers, &error) < 0)
        die("image", &error);
    digest_format(&digest, load->image);
    image_free(image);
    text_list_done(&layers);
}

static void open_runtime(struct load *load, const char *directory)
{
    char data[PATH_BYTES], run[PATH_BYTES];
    struct error error = {0};
    path_format(data, sizeof(data), "%s/data", directory);
    path_format(run, sizeof(run), "%s/run", directory);
    uv_loop_init(&load->loop);
    uv_timer_init(&load->loop, &load->tick);
    uv_timer_start(&load->tick, on_tick, TICK_MS, TICK_MS);
    struct runtime_config config = {
        .data_dir = data,
        .run_dir = run,
        .instance = "consort-rt-bench",
        .bridge = "bench0",
        .subnet = "10.89.0.0/16",
        .images = load->images,
        .context = load,
        .on_ready = on_ready,
        .on_change = on_change,
    };
    if (runtime_new(&load->loop, &config, &load->runtime, &error) < 0)
        die("runtime", &error);
    wait_for(load, is_ready, NULL);
}

static void start(struct load *load, const char *id)
{
    struct container_spec spec;
    struct error error = {0};
    char note[64];
    snprintf(note, sizeof(note), "/out/%s", id);
    container_spec_init(&spec);
    spec.id = strdup(id);
    spec.image = strdup(load->image);
    text_list_add(&spec.command, "/now");
    text_list_add(&spec.command, note);
    struct container_mount *mount = container_spec_add_mount(&spec);
    mount->type = MOUNT_BIND;
    mount->source = strdup(load->out);
    mount->target = strdup("/out");
    if (runtime_start(load->runtime, &spec, &error) < 0)
        die("start", &error);
    container_spec_done(&spec);
}

static void on_output(void *context, bool is_error, struct bytes output)
{
    (void)context;
    (void)is_error;
    (void)output;
}

static void on_exit_code(void *context, int exit_code)
{
    if (exit_code != 0)
        die("exec failed", NULL);
    ((struct load *)context)->exec_over = true;
}

static void run_inside(struct load *load, const char *id)
{
    const char *const argv[] = {"/now", NULL};
    struct exec_options options = {.argv = argv};
    struct exec_callbacks callbacks = {
        .context = load, .on_output = on_output, .on_exit = on_exit_code};
    struct runtime_exec *exec;
    load->exec_over = false;
    struct error error = {0};
    if (runtime_exec(load->runtime, id, &options, &callbacks, &exec, &error) < 0)
        die("exec", &error);
    wait_for(load, exec_is_over, id);
    runtime_exec_close(exec);
}

struct times {
    double ms[ROUNDS_MAX];
    unsigned count;
};

static void add(struct times *times, uint64_t from_ns, uint64_t to_ns)
{
    times->ms[times->count++] = ((double)to_ns - (double)from_ns) / 1e6;
}

static void print(const char *name, const struct times *times, const char *end)
{
    printf("\"%s\": [", name);
    for (unsigned i = 0; i < times->count; i++)
        printf("%s%.3f", i ? ", " : "", times->ms[i]);
    printf("]%s", end);
}

static void one_by_one(struct load *load, unsigned rounds)
{
    static struct times started, stopped, executed;
    for (unsigned i = 0; i < rounds; i++) {
        char id[32];
        snprintf(id, sizeof(id), "consort-%u", i);
        uint64_t begun = uv_hrtime();
        start(load, id);
        wait_for(load, is_running, id);
        wait_for(load, has_noted, id);
        add(&started, begun, noted_ns(load, id));
        begun = uv_hrtime();
        run_inside(load, id);
        add(&executed, begun, uv_hrtime());
        begun = uv_hrtime();
        runtime_stop(load->runtime, id, 0);
        wait_for(load, is_over, id);
        add(&stopped, begun, uv_hrtime());
        runtime_remove(load->runtime, id);
        wait_for(load, is_gone, id);
    }
    print("start_ms", &started, ", ");
    print("exec_ms", &executed, ", ");
    print("stop_ms", &stopped, ", ");
}

static void at_once(struct load *load, unsigned count)
{
    char id[32];
    uint64_t begun = uv_hrtime(), last = begun;
    for (unsigned i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "consort-p%u", i);
        start(load, id);
    }
    for (unsigned i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "consort-p%u", i);
        wait_for(load, has_noted, id);
        uint64_t noted = noted_ns(load, id);
        last = noted > last ? noted : last;
    }
    printf("\"parallel_ms\": %.1f", (double)(last - begun) / 1e6);
    for (unsigned i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "consort-p%u", i);
        runtime_remove(load->runtime, id);
    }
    for (unsigned i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "consort-p%u", i);
        wait_for(load, is_gone, id);
    }
}

static void on_closed(void *context)
{
    uv_close((uv_handle_t *)&((struct load *)context)->tick, NULL);
}

int main(int argc, char **argv)
{
    static struct load load;
    if (argc == 5 && strcmp(argv[1], "unpack") == 0) {
        uint64_t begun = uv_hrtime();
        import(&load, argv[2], argv + 3);
        printf("{\"unpack_ms\": %.1f}\n", (double)(uv_hrtime() - begun) / 1e6);
        image_store_free(load.images);
        return 0;
    }
    if (argc != 8 || strcmp(argv[1], "start") != 0)
        return 2;
    unsigned rounds = (unsigned)strtoul(argv[6], NULL, 10);
    load.out = argv[5];
    import(&load, argv[2], argv + 3);
    open_runtime(&load, argv[2]);
    printf("{");
    one_by_one(&load, rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX);
    at_once(&load, (unsigned)strtoul(argv[7], NULL, 10));
    printf("}\n");
    runtime_remove_network(load.runtime);
    runtime_close(load.runtime, on_closed, &load);
    uv_run(&load.loop, UV_RUN_DEFAULT);
    uv_loop_close(&load.loop);
    image_store_free(load.images);
    return 0;
}
