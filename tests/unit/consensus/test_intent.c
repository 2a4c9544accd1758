#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/random.h"
#include "consensus/level.h"
#include "tests/unit/consensus/intent_fixture.h"

enum {
    REPLAY_COMMANDS = 1500,
    REPLAY_SEEDS = 5,
    REPLAY_PEERS = 5,
    REPLAY_SERVICES = 4,
    REPLAY_CONFIGS = 3,
};

static void random_service_name(struct random *random, char *ret, size_t capacity)
{
    snprintf(ret, capacity, "s_%c", (char)('a' + random_below(random, REPLAY_SERVICES)));
}

static void random_config_name(struct random *random, char *ret, size_t capacity)
{
    snprintf(ret, capacity, "c%u", (unsigned)random_below(random, REPLAY_CONFIGS));
}

/* Now and then a service shows a config, which may not be there. */
static void random_file(struct random *random, struct service_spec *spec)
{
    char name[8];
    if (random_chance(random, 2, 3))
        return;
    random_config_name(random, name, sizeof(name));
    spec->files = calloc(1, sizeof(*spec->files));
    assert_non_null(spec->files);
    spec->file_count = 1;
    spec->files[0] = (struct spec_file){.source = strdup(name), .target = strdup("/c")};
}

static void random_deploy(struct random *random, struct command_deploy *deploy)
{
    deploy->service_count = 1 + random_below(random, REPLAY_SERVICES);
    deploy->services = calloc(deploy->service_count, sizeof(*deploy->services));
    for (size_t i = 0; i < deploy->service_count; i++) {
        char name[] = {(char)('a' + i), '\0'};
        fixture_spec(&deploy->services[i], name);
        deploy->services[i].stop_grace_ms = (uint32_t)random_below(random, 3);
        deploy->services[i].replicas = (uint32_t)random_below(random, 4);
        random_file(random, &deploy->services[i]);
    }
    snprintf(deploy->stack, sizeof(deploy->stack), "s");
}

static void random_place(struct random *random, const struct intent *intent,
                         struct command_place *place)
{
    place->change_count = random_below(random, 4);
    place->changes = calloc(place->change_count + 1, sizeof(*place->changes));
    for (size_t i = 0; i < place->change_count; i++) {
        struct command_place_change *change = &place->changes[i];
        change->action = (uint8_t)random_below(random, 3);
        random_service_name(random, change->service, sizeof(change->service));
        const struct intent_service *service = intent_service_find(intent, change->service);
        change->revision = service ? service->revision : 1;
        change->slot = 1 + (uint32_t)random_below(random, 8);
        change->peer = fixture_id((unsigned)random_below(random, REPLAY_PEERS));
        if (intent->replicas.count > 0) {
            const struct intent_replica *replica =
                intent->replicas.items[random_below(random, intent->replicas.count)];
            change->generation = replica->generation;
        }
    }
}

/* A config, or a secret that is sealed to some of the peers. */
static void random_blob(struct random *random, unsigned number, struct intent_blob *blob)
{
    char name[8], content[] = {(char)('a' + number), '\0'};
    random_config_name(random, name, sizeof(name));
    if (random_chance(random, 1, 2)) {
        fixture_secret(blob, name, content, (unsigned)random_below(random, REPLAY_PEERS + 1));
        return;
    }
    snprintf(blob->name, sizeof(blob->name), "%s", name);
    assert_int_equal(buffer_append_text(&blob->content, content), 0);
}

static void random_seal(struct random *random, const struct intent *intent,
                        struct command_seal *seal)
{
    seal->change_count = random_below(random, 4);
    seal->changes = calloc(seal->change_count + 1, sizeof(*seal->changes));
    for (size_t i = 0; i < seal->change_count; i++) {
        struct command_seal_change *change = &seal->changes[i];
        random_config_name(random, change->name, sizeof(change->name));
        const struct intent_blob *blob = intent_blob_find(intent, SPEC_FILE_SECRET, change->name);
        change->version = blob ? blob->version : 1;
        change->drops = random_chance(random, 1, 3);
        change->wrap.peer = fixture_id((unsigned)random_below(random, REPLAY_PEERS));
    }
}

static void random_rollout(struct random *random, const struct intent *intent,
                           struct command_rollout *rollout)
{
    random_service_name(random, rollout->service, sizeof(rollout->service));
    const struct intent_service *service = intent_service_find(intent, rollout->service);
    rollout->rollout = service ? service->rollout.id : 1;
    rollout->revision = service ? service->revision : 1;
    rollout->state = (uint8_t)random_below(random, INTENT_ROLLOUT_FAILED + 1);
}

static void random_gossip(struct random *random, struct command_gossip *gossip)
{
    gossip->has_profile = random_chance(random, 1, 2);
    gossip->profile = (uint8_t)random_below(random, INTENT_PROFILE_EDGE + 1);
    gossip->has_fanout = random_chance(random, 1, 2);
    gossip->fanout = (uint32_t)random_below(random, INTENT_FANOUT_MAX + 2);
}

/* Makes a command that may well be refused; the caller frees it. */
static struct command random_command(struct random *random, const struct fixture *f)
{
    struct command command =
        fixture_command(f, (enum command_type)random_below(random, COMMAND_VOTERS + 1));
    unsigned number = (unsigned)random_below(random, REPLAY_PEERS);
    command.head.client = random_below(random, 3);
    command.head.sequence = command.head.client ? 1 + random_below(random, REPLAY_COMMANDS) : 0;
    switch ((enum command_type)command.head.type) {
    case COMMAND_ADMIT:
        command.admit.id = fixture_id(number);
        snprintf(command.admit.name, sizeof(command.admit.name), "p%u", number);
        break;
    case COMMAND_PEER_STATE:
        command.peer_state.id = fixture_id(number);
        command.peer_state.state = (uint8_t)random_below(random, INTENT_REVOKED);
        break;
    case COMMAND_TOKEN_CREATE:
        command.token.id[0] = (uint8_t)random_below(random, 8);
        command.token.uses_left = 1;
        break;
    case COMMAND_TOKEN_REVOKE:
        command.token_id[0] = (uint8_t)random_below(random, 8);
        break;
    case COMMAND_DEPLOY:
        random_deploy(random, &command.deploy);
        break;
    case COMMAND_SCALE:
        random_service_name(random, command.scale.service, sizeof(command.scale.service));
        command.scale.replicas = (uint32_t)random_below(random, 9);
        break;
    case COMMAND_UPDATE:
        fixture_spec(&command.update.spec, "a");
        snprintf(command.update.service, sizeof(command.update.service), "s_a");
        command.update.spec.stop_grace_ms = (uint32_t)random_below(random, 9);
        break;
    case COMMAND_ROLLBACK:
        random_service_name(random, command.rollback.service, sizeof(command.rollback.service));
        command.rollback.revision = (uint32_t)random_below(random, 9);
        break;
    case COMMAND_REMOVE:
        random_service_name(random, command.remove.name, sizeof(command.remove.name));
        break;
    case COMMAND_PLACE:
        random_place(random, f->intent, &command.place);
        break;
    case COMMAND_ROLLOUT:
        random_rollout(random, f->intent, &command.rollout);
        break;
    case COMMAND_GOSSIP:
        random_gossip(random, &command.gossip);
        break;
    case COMMAND_NAMESAKES:
        command.namesakes.ids[0] = fixture_id(number);
        command.namesakes.ids[1] = fixture_id(REPLAY_PEERS);
        break;
    case COMMAND_BLOB_SET:
        random_blob(random, number, &command.blob_set.blob);
        command.blob_set.has_expected = random_chance(random, 1, 4);
        break;
    case COMMAND_BLOB_REMOVE:
        random_config_name(random, command.blob_remove.name, sizeof(command.blob_remove.name));
        break;
    case COMMAND_QUOTA:
        strcpy(command.quota.stack, "s");
        command.quota.has_replicas = true;
        command.quota.replicas = (uint32_t)random_below(random, 12);
        break;
    case COMMAND_SEAL:
        random_seal(random, f->intent, &command.seal);
        break;
    case COMMAND_LEVEL:
        command.level.level = f->intent->level;
        command.level.next_serial = f->intent->next_serial;
        break;
    case COMMAND_VOTERS:
        command.voters.max = (uint32_t)random_below(random, INTENT_VOTERS_MAX + 2);
        break;
    }
    return command;
}

/* Writes the intent down and reads it again. */
static struct intent *through_snapshot(struct intent *intent)
{
    struct intent *read = NULL;
    cleanup_buffer struct buffer bytes = {0};
    assert_int_equal(intent_write(intent, &bytes), 0);
    assert_int_equal(intent_read(buffer_view(&bytes), &read), 0);
    fixture_assert_same(intent, read);
    intent_free(intent);
    return read;
}

/* Breaks if two peers that applied the same log disagree, or one that began with a snapshot. */
static void test_replay(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= REPLAY_SEEDS; seed++) {
        struct fixture f;
        struct random random;
        struct id cluster = {{0xcc}};
        random_init(&random, seed);
        fixture_init(&f, 0);
        struct intent *other = intent_new(&cluster);
        size_t accepted = 0;
        for (int i = 0; i < REPLAY_COMMANDS; i++) {
            struct intent_result result;
            struct command command = random_command(&random, &f);
            cleanup_buffer struct buffer bytes = {0};
            assert_int_equal(command_encode(&command, &bytes), 0);
            accepted += fixture_apply(&f, &command) == 0;
            assert_int_equal(intent_apply(other, f.index, 1, buffer_view(&bytes), &result), 0);
            assert_int_equal(result.code, f.result.code);
            command_done(&command);
            if (random_chance(&random, 1, 50))
                other = through_snapshot(other);
            if (i % 10 == 0)
                fixture_assert_same(f.intent, other);
        }
        fixture_assert_same(f.intent, other);
        assert_true(accepted > REPLAY_COMMANDS / 10);
        intent_free(other);
        fixture_done(&f);
    }
}

/* Breaks if a command that was proposed twice is applied twice. */
static void test_twice(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    struct command command = fixture_command(&f, COMMAND_ADMIT);
    command.head.client = 7;
    command.head.sequence = 5;
    command.admit = (struct command_admit){.id = fixture_id(0), .name = "a"};
    assert_int_equal(fixture_apply(&f, &command), 0);
    uint64_t serial = f.result.serial;
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_LEFT), 0);
    assert_int_equal(fixture_apply(&f, &command), 0);
    assert_int_equal(f.result.serial, serial);
    assert_int_equal(intent_peer_by_name(f.intent, "a")->state, INTENT_LEFT);

    command.head.sequence = 6;
    command.admit.id = fixture_id(1);
    command.admit.name[0] = '\0';
    assert_int_equal(fixture_apply(&f, &command), -EINVAL);
    struct error words = f.result.error;
    assert_string_not_equal(words.message, "");
    command.admit.name[0] = 'a';
    fixture_restart(&f);
    assert_int_equal(fixture_apply(&f, &command), -EINVAL); /* as it was answered before */
    assert_string_equal(f.result.error.message, words.message);
    assert_string_equal(f.result.error.hint, words.hint);
    command.head.sequence = 5;
    assert_int_equal(fixture_apply(&f, &command), -ESTALE);
    assert_string_not_equal(f.result.error.hint, "");
    command.head.sequence = 7;
    assert_int_equal(fixture_apply(&f, &command), 0);
    fixture_done(&f);
}

/* Breaks if clients pile up in the state, or the wrong one is forgotten. */
static void test_clients_bounded(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    struct command command = fixture_command(&f, COMMAND_GOSSIP);
    command.gossip = (struct command_gossip){.has_fanout = true, .fanout = 3};
    command.head.sequence = 1;
    for (uint64_t i = 1; i <= INTENT_CLIENTS_MAX; i++) {
        command.head.client = i;
        assert_int_equal(fixture_apply(&f, &command), 0);
    }
    command.head.client = 1;
    command.head.sequence = 2; /* 1 is heard again, so 2 is the one unheard of for longest */
    assert_int_equal(fixture_apply(&f, &command), 0);
    uint64_t before = f.intent->applied_index;
    command.head.client = INTENT_CLIENTS_MAX + 1;
    assert_int_equal(fixture_apply(&f, &command), 0);
    assert_int_equal(f.intent->clients.count, INTENT_CLIENTS_MAX);
    uint64_t first = 1, second = 2;
    assert_non_null(table_find(&f.intent->clients, &first));
    assert_null(table_find(&f.intent->clients, &second));
    fixture_restart(&f);
    command.head.client = 2; /* and what it sent before may have been applied */
    assert_int_equal(fixture_apply(&f, &command), -ESTALE);
    command.head.since = before;
    assert_int_equal(fixture_apply(&f, &command), 0);
    fixture_done(&f);
}

/* Breaks if what clients were told fills the snapshot, or is counted otherwise than it is. */
static void test_client_texts_bounded(void **state)
{
    (void)state;
    struct fixture f;
    size_t bytes = 0;
    fixture_init(&f, 0);
    struct command command = fixture_command(&f, COMMAND_SCALE);
    memset(command.scale.service, 'x', INTENT_SERVICE_NAME_BYTES_MAX);
    command.head.sequence = 1;
    for (uint64_t i = 1; i <= INTENT_CLIENTS_MAX; i++) {
        command.head.client = i;
        command.head.since = f.intent->applied_index;
        assert_int_equal(fixture_apply(&f, &command), -ENOENT);
        assert_true(f.intent->client_bytes <= INTENT_CLIENT_TEXTS_BYTES_MAX);
    }
    assert_true(f.intent->forgotten > 0);
    for (size_t i = 0; i < f.intent->clients.count; i++) {
        const struct intent_client *client = f.intent->clients.items[i];
        bytes += strlen(client->message) + strlen(client->hint);
        assert_true(client->index > f.intent->forgotten);
    }
    assert_int_equal(f.intent->client_bytes, bytes);
    fixture_restart(&f);
    assert_int_equal(f.intent->client_bytes, bytes);
    fixture_done(&f);
}

enum {
    ONCE_COMMANDS = 40000,
    ONCE_CLIENTS = 2 * INTENT_CLIENTS_MAX,
    ONCE_SENT = 256,
    ONCE_OLD = 8
};

/* A command that was sent, and may come again at any time: it sets a config that others set, too.
 */
struct sent {
    struct command_head head;
    uint64_t content;
    uint64_t version; /* what applying it made; 0: it had no effect yet */
};

static void arrive(struct fixture *f, struct sent *sent)
{
    struct command command = {.head = sent->head};
    uint8_t content[sizeof(sent->content)];
    memcpy(content, &sent->content, sizeof(content));
    command.blob_set.blob = (struct intent_blob){
        .name = "c", .kind = SPEC_FILE_CONFIG, .content = {.bytes = content, .size = 8}};
    int code = fixture_apply(f, &command);
    if (code == -ESTALE)
        return;
    assert_int_equal(code, 0);
    assert_int_equal(f->result.version, sent->version > 0 ? sent->version : f->index);
    sent->version = f->result.version;
}

/* Breaks if among more clients than are remembered, each with a command at a time, and copies that
 * come at any time, one is applied twice; or if a command that comes in time is refused. */
static void test_applied_once(void **state)
{
    (void)state;
    struct fixture f;
    struct random random;
    static uint64_t sequences[ONCE_CLIENTS + 1 + ONCE_OLD];
    static struct sent sents[ONCE_SENT];
    random_init(&random, 5);
    fixture_init(&f, 0);
    for (unsigned i = 0; i < ONCE_COMMANDS; i++) {
        /* The first few are sent once by clients that are not heard of again, and come late. */
        struct sent *sent = &sents[i < ONCE_OLD ? i : random_below(&random, ONCE_SENT)];
        if (random_chance(&random, 1, 5000))
            fixture_restart(&f);
        if (sent->head.client > 0 && (sent < sents + ONCE_OLD || random_chance(&random, 1, 3))) {
            arrive(&f, sent);
            continue;
        }
        uint64_t client = 1 + (random_chance(&random, 1, 2) ? random_below(&random, 8)
                                                            : random_below(&random, ONCE_CLIENTS));
        client = i < ONCE_OLD ? ONCE_CLIENTS + 1 + i : client;
        *sent = (struct sent){.head = fixture_command(&f, COMMAND_BLOB_SET).head, .content = i + 1};
        sent->head.client = client;
        sent->head.sequence = ++sequences[client];
        sent->head.since = f.index;
        if (random_chance(&random, 1, 8))
            continue; /* it is held back, and its client may go on */
        arrive(&f, sent);
        assert_int_equal(sent->version, f.index);
    }
    assert_true(f.intent->forgotten > 0);
    fixture_done(&f);
}

/* Breaks if bytes that are no command, or a newer peer's, change the state or stop the wrong peer.
 */
static void test_malformed(void **state)
{
    (void)state;
    struct fixture f;
    struct intent_result result;
    fixture_init(&f, 1);
    assert_int_equal(intent_apply(f.intent, 10, 2, bytes_of_text("?"), &result), 0);
    assert_int_equal(result.code, -EBADMSG);
    assert_int_equal(f.intent->applied_index, 10);
    assert_int_equal(f.intent->applied_term, 2);
    cleanup_buffer struct buffer bytes = {0};
    struct command command = fixture_command(&f, COMMAND_SCALE);
    assert_int_equal(command_encode(&command, &bytes), 0);
    bytes.bytes[1] = (uint8_t)(level_newest + 1); /* of a level that is not in force */
    assert_int_equal(intent_apply(f.intent, 11, 2, buffer_view(&bytes), &result), 0);
    assert_int_equal(result.code, -EPROTONOSUPPORT);
    assert_int_equal(f.intent->applied_index, 11);
    fixture_done(&f);
}

/* Breaks if the history loses its order or grows without bound. */
static void test_history(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 1);
    for (int i = 0; i < INTENT_HISTORY_MAX; i++)
        assert_int_equal(fixture_peer_state(&f, 0, i % 2 ? INTENT_ACTIVE : INTENT_DRAINING), 0);
    assert_int_equal(f.intent->history_count, INTENT_HISTORY_MAX);
    assert_int_equal(intent_event_at(f.intent, 0)->index, 2);
    assert_int_equal(fixture_last_event(&f)->index, INTENT_HISTORY_MAX + 1);
    assert_null(intent_event_at(f.intent, INTENT_HISTORY_MAX));
    f.intent = through_snapshot(f.intent);
    assert_int_equal(intent_event_at(f.intent, 0)->index, 2);
    fixture_done(&f);
}

/* Breaks if who votes is lost. */
static void test_voters(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 2);
    struct id stranger = fixture_id(2), second = fixture_id(1);
    struct raft_changes add_first = {.members = {{RAFT_ADD_VOTER, fixture_id(0)}}, .count = 1};
    struct raft_changes add_second = {.members = {{RAFT_ADD_VOTER, second}}, .count = 1};
    struct raft_changes impossible = {.transition = RAFT_TRANSITION_AUTO};
    intent_apply_changes(f.intent, 19, 3, &add_first);
    intent_apply_changes(f.intent, 20, 3, &add_second);
    intent_apply_nothing(f.intent, 21, 4);
    f.intent = through_snapshot(f.intent);
    assert_true(intent_is_voter(f.intent, &second));
    assert_false(intent_is_voter(f.intent, &stranger));
    assert_int_equal(f.intent->applied_index, 21);
    intent_apply_changes(f.intent, 22, 4, &impossible);
    assert_true(intent_is_voter(f.intent, &second));
    assert_int_equal(f.intent->applied_index, 22);
    fixture_done(&f);
}

/* Breaks if the line of who voted is lost, gets gaps or grows without bound, or a reader takes one
 * that contradicts itself. */
static void test_successions(void **state)
{
    (void)state;
    struct fixture f;
    struct intent *read;
    fixture_init(&f, 2);
    struct raft_changes add = {.members = {{RAFT_ADD_VOTER, fixture_id(0)}}, .count = 1};
    struct raft_changes leave = {.transition = RAFT_TRANSITION_AUTO};
    intent_apply_changes(f.intent, 20, 3, &add);
    assert_int_equal(f.intent->configuration_index, 20);
    assert_int_equal(f.intent->succession_count, 0); /* nobody voted before */
    struct raft_changes swap = {
        .members = {{RAFT_ADD_VOTER, fixture_id(1)}, {RAFT_REMOVE, fixture_id(0)}},
        .count = 2,
        .seal = {.signer = fixture_id(0), .signature = {1, 2, 3}}};
    intent_apply_changes(f.intent, 21, 3, &swap);
    intent_apply_changes(f.intent, 22, 3, &swap); /* not possible within a joint phase */
    intent_apply_changes(f.intent, 23, 3, &leave);
    assert_int_equal(f.intent->succession_count, 1);
    f.intent = through_snapshot(f.intent);
    const struct intent_succession *first = &f.intent->successions[0];
    assert_int_equal(first->from, 20);
    assert_int_equal(first->index, 21);
    assert_true(raft_configuration_is_joint(&first->configuration));
    assert_memory_equal(&first->seal, &swap.seal, sizeof(swap.seal));
    assert_int_equal(f.intent->configuration_index, 21);
    assert_false(raft_configuration_is_joint(&f.intent->configuration));

    for (uint64_t i = 0; i < INTENT_SUCCESSIONS_MAX; i++) {
        struct raft_changes one = {
            .members = {{i % 2 ? RAFT_REMOVE : RAFT_ADD_VOTER, fixture_id(0)}}, .count = 1};
        intent_apply_changes(f.intent, 30 + i, 3, &one);
    }
    assert_int_equal(f.intent->succession_count, INTENT_SUCCESSIONS_MAX);
    f.intent = through_snapshot(f.intent);
    assert_int_equal(f.intent->successions[0].from, 21);
    assert_int_equal(f.intent->successions[INTENT_SUCCESSIONS_MAX - 1].index,
                     f.intent->applied_index);

    for (int what = 0; what < 4; what++) {
        cleanup_buffer struct buffer bytes = {0};
        struct intent_succession *successions = f.intent->successions, kept = successions[9];
        uint64_t *index = &f.intent->configuration_index, kept_index = *index;
        if (what == 0)
            successions[9].from--; /* a gap */
        else if (what == 1)
            successions[9].index = successions[9].from;
        else
            *index += what == 2 ? 1000 : -(uint64_t)1; /* not applied yet; not the last one's */
        assert_int_equal(intent_write(f.intent, &bytes), 0);
        assert_int_equal(intent_read(buffer_view(&bytes), &read), -EBADMSG);
        successions[9] = kept;
        *index = kept_index;
    }
    fixture_done(&f);
}

/* Breaks if a peer takes a snapshot that ends early or contradicts itself. */
static void test_bad_snapshot(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    struct intent *read;
    cleanup_buffer struct buffer bytes = {0};
    fixture_init(&f, 2);
    fixture_spec(&spec, "web");
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 0), 0);
    assert_int_equal(intent_write(f.intent, &bytes), 0);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(intent_read((struct bytes){bytes.bytes, size}, &read), -EBADMSG);
    bytes.bytes[0] = (uint8_t)(level_newest + 1);
    assert_int_equal(intent_read(buffer_view(&bytes), &read), -EPROTONOSUPPORT);

    struct intent_replica *replica = intent_replica_find(f.intent, 1);
    replica->revision = 7;
    buffer_clear(&bytes);
    assert_int_equal(intent_write(f.intent, &bytes), 0);
    assert_int_equal(intent_read(buffer_view(&bytes), &read), -EBADMSG);
    replica->revision = 1;
    f.intent->next_generation = 1;
    buffer_clear(&bytes);
    assert_int_equal(intent_write(f.intent, &bytes), 0);
    assert_int_equal(intent_read(buffer_view(&bytes), &read), -EBADMSG);
    service_spec_done(&spec);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay),          cmocka_unit_test(test_twice),
        cmocka_unit_test(test_clients_bounded), cmocka_unit_test(test_client_texts_bounded),
        cmocka_unit_test(test_applied_once),    cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_history),         cmocka_unit_test(test_voters),
        cmocka_unit_test(test_bad_snapshot),    cmocka_unit_test(test_successions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
