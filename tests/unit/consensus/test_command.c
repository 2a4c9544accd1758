#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "consensus/level.h"
#include "tests/fuzz/seed.h"
#include "tests/unit/consensus/intent_fixture.h"

static struct command command_of(enum command_type type)
{
    return (struct command){.head = {type, 0, 1234, "ann", 77, 8, 0}};
}

/* Encodes, decodes, and checks that the second encoding is the same and that no prefix is taken. */
static struct command round_trip(const struct command *command)
{
    cleanup_buffer struct buffer bytes = {0}, again = {0};
    struct command decoded, prefix;
    assert_int_equal(command_encode(command, &bytes), 0);
    assert_int_equal(command_decode(buffer_view(&bytes), &decoded), 0);
    assert_int_equal(command_encode(&decoded, &again), 0);
    seed_keep("command", buffer_view(&bytes));
    assert_true(bytes_equal(buffer_view(&bytes), buffer_view(&again)));
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(command_decode((struct bytes){bytes.bytes, size}, &prefix), -EBADMSG);
    assert_int_equal(decoded.head.type, command->head.type);
    assert_int_equal(decoded.head.wall_ms, 1234);
    assert_string_equal(decoded.head.actor, "ann");
    assert_int_equal(decoded.head.client, 77);
    assert_int_equal(decoded.head.sequence, 8);
    return decoded;
}

/* Breaks if who is admitted or how they stand changes on the way. */
static void test_peers(void **state)
{
    (void)state;
    struct command command = command_of(COMMAND_ADMIT);
    command.admit = (struct command_admit){.id = fixture_id(3), .name = "d", .role = INTENT_VIEWER};
    struct command read = round_trip(&command);
    assert_true(id_equal(&read.admit.id, &command.admit.id));
    assert_int_equal(read.admit.role, INTENT_VIEWER);
    assert_false(read.admit.has_token);
    command.admit.has_token = true;
    command.admit.token_id[15] = 9;
    read = round_trip(&command);
    assert_true(read.admit.has_token);
    assert_int_equal(read.admit.token_id[15], 9);

    command = command_of(COMMAND_PEER_STATE);
    command.peer_state = (struct command_peer_state){fixture_id(1), INTENT_DRAINING};
    read = round_trip(&command);
    assert_int_equal(read.peer_state.state, INTENT_DRAINING);

    command = command_of(COMMAND_TOKEN_CREATE);
    command.token = (struct intent_token){{1}, {2}, INTENT_ADMIN, 5, 10, 20, "ann"};
    read = round_trip(&command);
    assert_memory_equal(read.token.id, command.token.id, sizeof(read.token.id));
    assert_memory_equal(read.token.psk, command.token.psk, sizeof(read.token.psk));
    assert_int_equal(read.token.role, INTENT_ADMIN);
    assert_int_equal(read.token.uses_left, 5);
    assert_int_equal(read.token.created_wall_ms, 10);
    assert_int_equal(read.token.expires_wall_ms, 20);
    command = command_of(COMMAND_TOKEN_REVOKE);
    command.token_id[0] = 7;
    read = round_trip(&command);
    assert_int_equal(read.token_id[0], 7);
}

/* Breaks if one pair can be written in two ways, or its ids change on the way. */
static void test_namesakes(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = {0};
    struct command command = command_of(COMMAND_NAMESAKES), read;
    struct id a = fixture_id(1), b = fixture_id(2);
    bool in_order = id_compare(&a, &b) < 0;
    command.namesakes = (struct command_namesakes){{in_order ? a : b, in_order ? b : a}};
    read = round_trip(&command);
    assert_memory_equal(&read.namesakes, &command.namesakes, sizeof(read.namesakes));
    command.namesakes = (struct command_namesakes){{in_order ? b : a, in_order ? a : b}};
    assert_int_equal(command_encode(&command, &bytes), 0);
    assert_int_equal(command_decode(buffer_view(&bytes), &read), -EBADMSG);
    bytes.size = 0;
    command.namesakes = (struct command_namesakes){{a, a}};
    assert_int_equal(command_encode(&command, &bytes), 0);
    assert_int_equal(command_decode(buffer_view(&bytes), &read), -EBADMSG);
}

/* Breaks if a value that was not said arrives as one that was, or the other way round. */
static void test_gossip(void **state)
{
    (void)state;
    struct command command = command_of(COMMAND_GOSSIP);
    struct command read = round_trip(&command);
    assert_memory_equal(&read.gossip, &command.gossip, sizeof(read.gossip));
    command.gossip.has_profile = command.gossip.has_suspicion = true;
    command.gossip.profile = INTENT_PROFILE_EDGE;
    read = round_trip(&command);
    assert_memory_equal(&read.gossip, &command.gossip, sizeof(read.gossip));
    command.gossip = (struct command_gossip){.has_probe_interval = true,
                                             .has_fanout = true,
                                             .probe_interval_ms = UINT32_MAX,
                                             .fanout = 3};
    read = round_trip(&command);
    assert_memory_equal(&read.gossip, &command.gossip, sizeof(read.gossip));

    cleanup_buffer struct buffer bytes = {0};
    command.gossip =
        (struct command_gossip){.has_profile = true, .profile = INTENT_PROFILE_EDGE + 1};
    assert_int_equal(command_encode(&command, &bytes), 0);
    assert_int_equal(command_decode(buffer_view(&bytes), &read), -EBADMSG);
}

/* Breaks if what an operator asks for services arrives as something else. */
static void test_services(void **state)
{
    (void)state;
    struct service_spec specs[2];
    struct intent_blob blob = {.name = "hello_conf", .kind = SPEC_FILE_CONFIG};
    fixture_spec(&specs[0], "web");
    fixture_spec(&specs[1], "db");
    assert_int_equal(buffer_append_text(&blob.content, "contents"), 0);
    struct command command = command_of(COMMAND_DEPLOY);
    command.deploy = (struct command_deploy){"hello", specs, 2, &blob, 1};
    struct command read = round_trip(&command);
    assert_int_equal(read.deploy.service_count, 2);
    assert_string_equal(read.deploy.services[1].name, "db");
    assert_true(bytes_equal(buffer_view(&read.deploy.blobs[0].content), bytes_of_text("contents")));
    command_done(&read);
    buffer_done(&blob.content);

    command = command_of(COMMAND_UPDATE);
    command.update = (struct command_update){"hello_web", specs[0]};
    read = round_trip(&command);
    assert_string_equal(read.update.spec.image, "example/app:1");
    command_done(&read);
    service_spec_done(&specs[0]);
    service_spec_done(&specs[1]);

    command = command_of(COMMAND_SCALE);
    command.scale = (struct command_scale){"hello_web", 7};
    read = round_trip(&command);
    assert_int_equal(read.scale.replicas, 7);
    command = command_of(COMMAND_ROLLBACK);
    command.rollback = (struct command_rollback){"hello_web", 3};
    read = round_trip(&command);
    assert_int_equal(read.rollback.revision, 3);
    command = command_of(COMMAND_REMOVE);
    command.remove = (struct command_remove){"hello", true};
    read = round_trip(&command);
    assert_true(read.remove.is_stack);
}

/* Breaks if a config or secret, or the version that is expected of it, changes on the way. */
static void test_blobs(void **state)
{
    (void)state;
    struct command command = command_of(COMMAND_BLOB_SET);
    struct command_blob_set *set = &command.blob_set;
    struct intent_wrap wraps[] = {{.peer = {{1}}, .box = {7}}, {.peer = {{2}}, .box = {8}}};
    *set = (struct command_blob_set){
        .blob = {.name = "key", .kind = SPEC_FILE_SECRET, .wraps = wraps, .wrap_count = 2}};
    assert_int_equal(buffer_append(&set->blob.content, "a\0b", 3), 0);
    struct command read = round_trip(&command);
    assert_string_equal(read.blob_set.blob.name, "key");
    assert_int_equal(read.blob_set.blob.kind, SPEC_FILE_SECRET);
    assert_true(
        bytes_equal(buffer_view(&read.blob_set.blob.content), buffer_view(&set->blob.content)));
    assert_int_equal(read.blob_set.blob.wrap_count, 2);
    assert_memory_equal(read.blob_set.blob.wraps, wraps, sizeof(wraps));
    assert_false(read.blob_set.has_expected);
    command_done(&read);

    set->has_expected = true; /* of none: 0 */
    read = round_trip(&command);
    assert_true(read.blob_set.has_expected);
    assert_int_equal(read.blob_set.expected, 0);
    command_done(&read);
    set->expected = UINT64_MAX;
    read = round_trip(&command);
    assert_true(read.blob_set.expected == UINT64_MAX);
    command_done(&read);
    buffer_done(&set->blob.content);

    command = command_of(COMMAND_BLOB_REMOVE);
    command.blob_remove = (struct command_blob_remove){SPEC_FILE_SECRET, "key"};
    read = round_trip(&command);
    assert_int_equal(read.blob_remove.kind, SPEC_FILE_SECRET);
    assert_string_equal(read.blob_remove.name, "key");

    command = command_of(COMMAND_QUOTA);
    command.quota = (struct command_quota){
        .stack = "s", .has_cpu = true, .has_memory = true, .memory_bytes = UINT64_MAX};
    read = round_trip(&command);
    assert_memory_equal(&read.quota, &command.quota, sizeof(read.quota));

    command = command_of(COMMAND_VOTERS);
    command.voters.max = UINT32_MAX; /* it is the intent that refuses it */
    read = round_trip(&command);
    assert_int_equal(read.voters.max, UINT32_MAX);
}

static void assert_refused(const struct command *command)
{
    cleanup_buffer struct buffer bytes = {0};
    struct command read;
    assert_int_equal(command_encode(command, &bytes), 0);
    assert_int_equal(command_decode(buffer_view(&bytes), &read), -EBADMSG);
}

/* Breaks if two peers could read different holders out of one secret, or a config has any. */
static void test_wraps(void **state)
{
    (void)state;
    struct command command = command_of(COMMAND_BLOB_SET);
    struct intent_wrap wraps[] = {{.peer = {{2}}}, {.peer = {{1}}}};
    command.blob_set.blob =
        (struct intent_blob){.name = "key", .kind = SPEC_FILE_SECRET, .wraps = wraps};
    command.blob_set.blob.wrap_count = 2;
    assert_refused(&command); /* not in order */
    wraps[1].peer.bytes[0] = 2;
    assert_refused(&command); /* twice the same */
    wraps[1].peer.bytes[0] = 3;
    command.blob_set.blob.kind = SPEC_FILE_CONFIG;
    assert_refused(&command);
}

/* Breaks if a key is sealed to, or taken from, another peer than was meant. */
static void test_seal(void **state)
{
    (void)state;
    struct command command = command_of(COMMAND_SEAL);
    struct command_seal_change changes[] = {
        {.name = "key", .version = 7, .wrap = {.peer = {{1}}, .box = {9}}},
        {.name = "s_key", .version = UINT64_MAX, .drops = true, .wrap = {.peer = {{2}}}},
    };
    command.seal = (struct command_seal){changes, 2};
    struct command read = round_trip(&command);
    assert_int_equal(read.seal.change_count, 2);
    assert_memory_equal(read.seal.changes, changes, sizeof(changes));
    command_done(&read);
}

/* Breaks if a leader's decision is carried out otherwise by its followers. */
static void test_decisions(void **state)
{
    (void)state;
    struct command_place_change changes[] = {
        {COMMAND_PLACE_ADD, "hello_web", 2, 3, fixture_id(1), 0, "most room"},
        {COMMAND_PLACE_STOP, "", 0, 0, ID_NONE, 41, "scaled down"},
        {COMMAND_PLACE_DELETE, "", 0, 0, ID_NONE, 42, ""},
    };
    struct command command = command_of(COMMAND_PLACE);
    command.place = (struct command_place){changes, 3};
    struct command read = round_trip(&command);
    assert_int_equal(read.place.change_count, 3);
    const struct command_place_change *add = &read.place.changes[0];
    assert_string_equal(add->service, "hello_web");
    assert_int_equal(add->slot, 2);
    assert_int_equal(add->revision, 3);
    assert_true(id_equal(&add->peer, &changes[0].peer));
    assert_string_equal(add->reason, "most room");
    assert_int_equal(read.place.changes[1].action, COMMAND_PLACE_STOP);
    assert_int_equal(read.place.changes[1].generation, 41);
    assert_string_equal(read.place.changes[1].reason, "scaled down");
    assert_int_equal(read.place.changes[2].action, COMMAND_PLACE_DELETE);
    command_done(&read);

    command = command_of(COMMAND_ROLLOUT);
    command.rollout =
        (struct command_rollout){"hello_web", 12, INTENT_ROLLOUT_ROLLING_BACK, 2, "it exits"};
    read = round_trip(&command);
    assert_int_equal(read.rollout.rollout, 12);
    assert_int_equal(read.rollout.state, INTENT_ROLLOUT_ROLLING_BACK);
    assert_int_equal(read.rollout.revision, 2);
    assert_string_equal(read.rollout.reason, "it exits");
}

/* Breaks if a newer peer's command is taken for garbage, or for one of a level that is known. */
static void test_newer_level(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = {0};
    struct command command = command_of(COMMAND_SCALE), read;
    assert_int_equal(command_encode(&command, &bytes), 0);
    bytes.bytes[1] = (uint8_t)(level_newest + 1); /* behind the array's head */
    assert_int_equal(command_decode(buffer_view(&bytes), &read), -EPROTONOSUPPORT);
    bytes.bytes[1] = 0;
    assert_int_equal(command_decode(buffer_view(&bytes), &read), -EBADMSG);
    bytes.bytes[1] = 1;
    bytes.bytes[2] = COMMAND_VOTERS + 1; /* a type that this level does not have */
    assert_int_equal(command_decode(buffer_view(&bytes), &read), -EBADMSG);
}

/* Breaks if a command that no peer would decode can be encoded, or leaves half of itself behind. */
static void test_too_large(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = {0};
    assert_int_equal(buffer_append_text(&bytes, "before"), 0);
    enum { BLOB_COUNT = 10 };
    struct intent_blob blobs[BLOB_COUNT] = {0};
    cleanup_free uint8_t *content = calloc(1, INTENT_BLOB_BYTES_MAX);
    for (size_t i = 0; i < BLOB_COUNT; i++)
        blobs[i].content = (struct buffer){content, INTENT_BLOB_BYTES_MAX, INTENT_BLOB_BYTES_MAX};
    struct command command = command_of(COMMAND_DEPLOY);
    command.deploy = (struct command_deploy){"hello", NULL, 0, blobs, BLOB_COUNT};
    assert_int_equal(command_encode(&command, &bytes), -E2BIG);
    assert_true(bytes_equal(buffer_view(&bytes), bytes_of_text("before")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gossip),      cmocka_unit_test(test_peers),
        cmocka_unit_test(test_services),    cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_newer_level), cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_wraps),       cmocka_unit_test(test_seal),
        cmocka_unit_test(test_namesakes),   cmocka_unit_test(test_blobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
