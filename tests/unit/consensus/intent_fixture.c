#include "tests/unit/consensus/intent_fixture.h"
#include "consensus/level.h"
#include "tests/fuzz/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    WALL_START_MS = 1000000,
    WALL_STEP_MS = 1000, /* between two commands */
};

void fixture_init(struct fixture *f, unsigned peer_count)
{
    struct id cluster = {{0xcc}};
    *f = (struct fixture){.intent = intent_new(&cluster), .wall_ms = WALL_START_MS};
    assert_non_null(f->intent);
    for (unsigned i = 0; i < peer_count; i++) {
        char name[] = {(char)('a' + i), '\0'};
        assert_int_equal(fixture_admit(f, i, name), 0);
    }
}

void fixture_done(struct fixture *f)
{
    cleanup_buffer struct buffer bytes = {0};
    if (f->intent && intent_write(f->intent, &bytes) == 0)
        seed_keep("intent", buffer_view(&bytes));
    intent_free(f->intent);
}

void fixture_restart(struct fixture *f)
{
    cleanup_buffer struct buffer bytes = {0};
    assert_int_equal(intent_write(f->intent, &bytes), 0);
    intent_free(f->intent);
    assert_int_equal(intent_read(buffer_view(&bytes), &f->intent), 0);
}

struct id fixture_id(unsigned number)
{
    return (struct id){{(uint8_t)(number + 1), 0x1d}};
}

struct command fixture_command(const struct fixture *f, enum command_type type)
{
    return (struct command){.head = {.type = type, .wall_ms = f->wall_ms, .actor = "ann"}};
}

void fixture_secret(struct intent_blob *blob, const char *name, const char *content,
                    unsigned peer_count)
{
    static const char tag[INTENT_SEAL_BYTES + 1] = "0123456789abcdef";
    *blob = (struct intent_blob){.kind = SPEC_FILE_SECRET, .wrap_count = peer_count};
    snprintf(blob->name, sizeof(blob->name), "%s", name);
    assert_int_equal(buffer_append_text(&blob->content, content), 0);
    assert_int_equal(buffer_append_text(&blob->content, tag), 0);
    blob->wraps = calloc(peer_count + 1, sizeof(*blob->wraps));
    assert_non_null(blob->wraps);
    for (unsigned i = 0; i < peer_count; i++)
        blob->wraps[i] = (struct intent_wrap){.peer = fixture_id(i), .box = {(uint8_t)(i + 1)}};
}

int fixture_seal(struct fixture *f, const char *name, uint64_t version, unsigned peer, bool drops)
{
    struct command command = fixture_command(f, COMMAND_SEAL);
    struct command_seal_change change = {
        .version = version, .drops = drops, .wrap = {.peer = fixture_id(peer), .box = {0x5e}}};
    snprintf(change.name, sizeof(change.name), "%s", name);
    command.seal = (struct command_seal){&change, 1};
    return fixture_apply(f, &command);
}

int fixture_apply(struct fixture *f, const struct command *command)
{
    cleanup_buffer struct buffer bytes = {0};
    assert_int_equal(command_encode(command, &bytes), 0);
    f->wall_ms += WALL_STEP_MS;
    f->result = (struct intent_result){0};
    assert_int_equal(intent_apply(f->intent, ++f->index, 1, buffer_view(&bytes), &f->result), 0);
    if (f->result.code < 0)
        assert_int_not_equal(f->result.error.message[0], 0);
    return f->result.code;
}

int fixture_raise(struct fixture *f)
{
    struct command command = fixture_command(f, COMMAND_LEVEL);
    command.level = (struct command_level){{level_newest, "0.1.0"}, f->intent->next_serial};
    return fixture_apply(f, &command);
}

int fixture_admit(struct fixture *f, unsigned number, const char *name)
{
    struct command command = fixture_command(f, COMMAND_ADMIT);
    command.admit.id = fixture_id(number);
    snprintf(command.admit.name, sizeof(command.admit.name), "%s", name);
    return fixture_apply(f, &command);
}

int fixture_peer_state(struct fixture *f, unsigned number, enum intent_peer_state state)
{
    struct command command = fixture_command(f, COMMAND_PEER_STATE);
    command.peer_state.id = fixture_id(number);
    command.peer_state.state = state;
    return fixture_apply(f, &command);
}

void fixture_spec(struct service_spec *spec, const char *name)
{
    service_spec_init(spec);
    snprintf(spec->name, sizeof(spec->name), "%s", name);
    spec->image = strdup("example/app:1");
    assert_non_null(spec->image);
}

void fixture_show_config(struct service_spec *spec, const char *name)
{
    spec->files = calloc(1, sizeof(*spec->files));
    assert_non_null(spec->files);
    spec->files[0] = (struct spec_file){.kind = SPEC_FILE_CONFIG,
                                        .source = strdup(name),
                                        .target = strdup("/etc/conf"),
                                        .mode = 0444};
    spec->file_count = 1;
}

void fixture_publish(struct service_spec *spec, uint16_t published)
{
    struct spec_port *ports = realloc(spec->ports, (spec->port_count + 1) * sizeof(*ports));
    assert_non_null(ports);
    spec->ports = ports;
    ports[spec->port_count++] = (struct spec_port){.published = published, .target = 80};
}

int fixture_deploy(struct fixture *f, const char *stack, struct service_spec *specs, size_t count)
{
    struct command command = fixture_command(f, COMMAND_DEPLOY);
    snprintf(command.deploy.stack, sizeof(command.deploy.stack), "%s", stack);
    command.deploy.services = specs;
    command.deploy.service_count = count;
    return fixture_apply(f, &command);
}

int fixture_scale(struct fixture *f, const char *service, uint32_t replicas)
{
    struct command command = fixture_command(f, COMMAND_SCALE);
    snprintf(command.scale.service, sizeof(command.scale.service), "%s", service);
    command.scale.replicas = replicas;
    return fixture_apply(f, &command);
}

int fixture_remove(struct fixture *f, const char *name, bool is_stack)
{
    struct command command = fixture_command(f, COMMAND_REMOVE);
    snprintf(command.remove.name, sizeof(command.remove.name), "%s", name);
    command.remove.is_stack = is_stack;
    return fixture_apply(f, &command);
}

int fixture_place(struct fixture *f, struct command_place_change *changes, size_t count)
{
    struct command command = fixture_command(f, COMMAND_PLACE);
    command.place.changes = changes;
    command.place.change_count = count;
    return fixture_apply(f, &command);
}

int fixture_add(struct fixture *f, const char *service, uint32_t slot, uint32_t revision,
                unsigned peer)
{
    struct command_place_change change = {.action = COMMAND_PLACE_ADD,
                                          .slot = slot,
                                          .revision = revision,
                                          .peer = fixture_id(peer),
                                          .reason = "most room"};
    snprintf(change.service, sizeof(change.service), "%s", service);
    return fixture_place(f, &change, 1);
}

int fixture_end(struct fixture *f, enum command_place_action action, uint64_t generation)
{
    struct command_place_change change = {
        .action = action, .generation = generation, .reason = "not needed"};
    return fixture_place(f, &change, 1);
}

int fixture_rollout(struct fixture *f, const char *service, enum intent_rollout_state state,
                    uint32_t revision, const char *reason)
{
    struct command command = fixture_command(f, COMMAND_ROLLOUT);
    snprintf(command.rollout.service, sizeof(command.rollout.service), "%s", service);
    command.rollout.rollout = fixture_service(f, service)->rollout.id;
    command.rollout.state = state;
    command.rollout.revision = revision;
    snprintf(command.rollout.reason, sizeof(command.rollout.reason), "%s", reason);
    return fixture_apply(f, &command);
}

struct intent_service *fixture_service(const struct fixture *f, const char *name)
{
    struct intent_service *service = intent_service_find(f->intent, name);
    assert_non_null(service);
    return service;
}

const struct intent_event *fixture_last_event(const struct fixture *f)
{
    assert_true(f->intent->history_count > 0);
    return intent_event_at(f->intent, f->intent->history_count - 1);
}

void fixture_assert_same(const struct intent *a, const struct intent *b)
{
    cleanup_buffer struct buffer bytes_a = {0}, bytes_b = {0};
    assert_int_equal(intent_write(a, &bytes_a), 0);
    assert_int_equal(intent_write(b, &bytes_b), 0);
    assert_int_equal(bytes_a.size, bytes_b.size);
    assert_memory_equal(bytes_a.bytes, bytes_b.bytes, bytes_a.size);
}
