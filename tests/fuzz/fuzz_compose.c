/* Compose files. One that is refused says why, with its name; one that is taken can be deployed:
 * its services fit into the command, and each makes a container that the runtime takes, and reads
 * again after a restart.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "consensus/command.h"
#include "node/compose/compose.h"
#include "node/peer/replica_spec.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_FD = 100 }; /* so that messages do not depend on what is open */

/* As the CLI sends it and a peer reads it. */
static void check_command(const struct compose_result *loaded)
{
    cleanup_buffer struct buffer bytes = {0};
    struct command again;
    struct command command = {.head = {.type = COMMAND_DEPLOY, .wall_ms = 1},
                              .deploy = {.services = loaded->services,
                                         .service_count = loaded->service_count,
                                         .blobs = loaded->blobs,
                                         .blob_count = loaded->blob_count}};
    memcpy(command.deploy.stack, loaded->stack, sizeof(command.deploy.stack));
    assert(command_encode(&command, &bytes) == 0);
    assert(command_decode(buffer_view(&bytes), &again) == 0);
    command_done(&again);
}

static void check_container(const struct intent *intent, const char *stack,
                            struct service_spec *service)
{
    struct intent_service named = {0};
    struct intent_replica replica = {.generation = UINT64_MAX, .slot = UINT32_MAX};
    const struct agent_wanted wanted = {&replica, &named, service};
    struct container_spec spec, again;
    struct error error = {0};
    cleanup_buffer struct buffer packed = {0};
    struct writer writer;
    struct reader reader;
    snprintf(named.name, sizeof(named.name), "%s_%s", stack, service->name);
    service->image_digest = strdup("sha256:00"); /* as the deploy resolves it */
    assert(service->image_digest);
    int rc = replica_spec_make(&wanted, intent, "web-1", &spec, &error);
    assert(rc == 0);
    rc = container_spec_check(&spec, &error);
    assert(rc == 0);
    writer_init(&writer, &packed);
    container_spec_write(&writer, &spec);
    reader_init(&reader, packed.bytes, packed.size);
    rc = container_spec_read(&reader, &again);
    assert(rc == 0);
    container_spec_done(&again);
    container_spec_done(&spec);
}

static void add_blob(struct intent *intent, uint8_t kind, const char *name, struct bytes content)
{
    struct intent_blob *blob = calloc(1, sizeof(*blob));
    assert(blob && strlen(name) < sizeof(blob->name));
    blob->kind = kind;
    strcpy(blob->name, name);
    assert(buffer_append(&blob->content, content.data, content.size) == 0);
    assert(table_insert(&intent->blobs, blob) == 0);
}

/* The intent with the stack's configs and secrets, and those that it says are external. */
static struct intent *make_intent(const struct compose_result *loaded)
{
    struct intent *intent = intent_new(&(struct id){{1}});
    assert(intent);
    for (size_t i = 0; i < loaded->blob_count; i++)
        add_blob(intent, loaded->blobs[i].kind, loaded->blobs[i].name,
                 buffer_view(&loaded->blobs[i].content));
    for (size_t i = 0; i < loaded->service_count; i++) {
        const struct service_spec *spec = &loaded->services[i];
        for (size_t j = 0; j < spec->file_count; j++)
            if (!intent_blob_find(intent, spec->files[j].kind, spec->files[j].source))
                add_blob(intent, spec->files[j].kind, spec->files[j].source, bytes_of_text("own"));
    }
    return intent;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    struct compose_result loaded;
    struct error error = {0};
    int fd = scratch_input(data, size);
    assert(dup2(fd, INPUT_FD) == INPUT_FD);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", INPUT_FD);
    struct text_list files = {0};
    assert(text_list_add(&files, path) == 0);
    const struct compose_options options = {.files = &files, .stack_name = "demo"};
    if (compose_load(&options, &loaded, &error) == 0) {
        check_command(&loaded);
        struct intent *intent = make_intent(&loaded);
        for (size_t i = 0; i < loaded.service_count; i++)
            check_container(intent, loaded.stack, &loaded.services[i]);
        intent_free(intent);
        compose_result_done(&loaded);
    } else {
        assert(error.code < 0);
        assert(error.message[0] == '/'); /* this file's path, or one that it names */
    }
    text_list_done(&files);
    close(fd);
    close(INPUT_FD);
    return 0;
}
