/* A level above the one in force: what peers that know it make of it, and those that don't. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "consensus/intent.h"
#include "consensus/level.h"
#include "tests/levels/next_level.h"

struct state {
    struct intent *intent;
    uint64_t index;
    struct intent_result result;
};

static int set_up(void **state)
{
    struct state *s = test_calloc(1, sizeof(*s));
    s->intent = intent_new(&(struct id){{1}});
    *state = s;
    return s->intent ? 0 : -1;
}

static int tear_down(void **state)
{
    struct state *s = *state;
    intent_free(s->intent);
    test_free(s);
    return 0;
}

/* Returns what intent_apply() does; the result stands in the state. */
static int apply_bytes(struct state *s, struct bytes bytes)
{
    return intent_apply(s->intent, ++s->index, 1, bytes, &s->result);
}

static int apply(struct state *s, struct command *command)
{
    cleanup_buffer struct buffer bytes = {0};
    command->head.wall_ms = 1234;
    snprintf(command->head.actor, sizeof(command->head.actor), "ann");
    assert_int_equal(command_encode(command, &bytes), 0);
    return apply_bytes(s, buffer_view(&bytes));
}

static int raise_to(struct state *s, uint32_t number, const char *version)
{
    struct command command = {
        .head = {.type = COMMAND_LEVEL},
        .level = {.level.number = number, .next_serial = s->intent->next_serial}};
    snprintf(command.level.level.version, sizeof(command.level.level.version), "%s", version);
    return apply(s, &command);
}

static void admit(struct state *s, uint8_t key)
{
    struct command command = {.head = {.type = COMMAND_ADMIT}, .admit = {.id = {{key}}}};
    snprintf(command.admit.name, sizeof(command.admit.name), "p%u", key);
    assert_int_equal(apply(s, &command), 0);
    assert_int_equal(s->result.code, 0);
}

static const struct intent_event *last_event(const struct state *s)
{
    return intent_event_at(s->intent, s->intent->history_count - 1);
}

/* Breaks if a command of a level that is not in force changes anything, where it is known: where it
 * is not known it can't. */
static void test_above_has_no_effect(void **state)
{
    struct state *s = *state;
    cleanup_buffer struct buffer after = {0}, nothing = {0};
    struct intent *other = NULL;
    admit(s, 7);
    assert_int_equal(intent_write(s->intent, &nothing), 0);
    assert_int_equal(intent_read(buffer_view(&nothing), &other), 0);
    struct command command = next_note("hello");
    command.head.client = command.head.sequence = 5; /* not remembered either */
    assert_int_equal(apply(s, &command), 0);
    assert_int_equal(s->result.code, -EPROTONOSUPPORT);
    assert_non_null(strstr(s->result.error.message, "level 3"));

    buffer_clear(&nothing);
    intent_apply_nothing(other, s->index, 1);
    assert_int_equal(intent_write(other, &nothing), 0);
    assert_int_equal(intent_write(s->intent, &after), 0);
    assert_true(bytes_equal(buffer_view(&after), buffer_view(&nothing)));
    intent_free(other);

    assert_int_equal(raise_to(s, NEXT_LEVEL, "0.2.0"), 0);
    assert_int_equal(apply(s, &command), 0);
    assert_int_equal(s->result.code, 0);
    assert_string_equal(last_event(s)->subject, "hello");
}

/* Breaks if what nobody knows has an effect, or stops those who read it. */
static void test_unknown_above_has_no_effect(void **state)
{
    struct state *s = *state;
    assert_int_equal(apply_bytes(s, bytes_of_text("\x97\x09\x63 what it is")), 0);
    assert_int_equal(s->result.code, -EPROTONOSUPPORT);
    assert_int_equal(s->intent->applied_index, s->index);
}

/* Breaks if those that know a type take it under a level that does not have it: the others can't.
 */
static void test_type_under_too_low_a_level(void **state)
{
    struct state *s = *state;
    cleanup_buffer struct buffer bytes = {0};
    struct command command = next_note("hello"), read;
    assert_int_equal(command_encode(&command, &bytes), 0);
    assert_int_equal(bytes.bytes[1], NEXT_LEVEL);
    bytes.bytes[1] = 1;
    assert_int_equal(command_decode(buffer_view(&bytes), &read), -EBADMSG);
    assert_int_equal(apply_bytes(s, buffer_view(&bytes)), 0);
    assert_int_equal(s->result.code, -EBADMSG);
}

/* Breaks if what can be written by level 1 is not, until all know more; or can't be any more then.
 */
static void test_written_by_the_first_level(void **state)
{
    struct state *s = *state;
    cleanup_buffer struct buffer bytes = {0};
    struct command command = {.head = {.type = COMMAND_SCALE}};
    assert_int_equal(command_encode(&command, &bytes), 0);
    assert_int_equal(bytes.bytes[1], 1);
    assert_int_equal(raise_to(s, NEXT_LEVEL, "0.2.0"), 0);
    for (uint8_t level = 1; level <= NEXT_LEVEL; level++) {
        bytes.bytes[1] = level;
        assert_int_equal(apply_bytes(s, buffer_view(&bytes)), 0);
        assert_int_equal(s->result.code, -ENOENT); /* no such service */
    }
}

/* Breaks if the level is lowered, raised behind the back of who was admitted meanwhile, or raised
 * without a word in the history. */
static void test_raise(void **state)
{
    struct state *s = *state;
    struct command stale = {
        .head = {.type = COMMAND_LEVEL},
        .level = {.level = {NEXT_LEVEL, "0.2.0"}, .next_serial = s->intent->next_serial}};
    admit(s, 7);
    assert_int_equal(apply(s, &stale), 0);
    assert_int_equal(s->result.code, -ESTALE);
    assert_int_equal(s->intent->level.number, 1);

    assert_int_equal(raise_to(s, NEXT_LEVEL, "0.2.0"), 0);
    assert_int_equal(s->result.code, 0);
    assert_int_equal(s->intent->level.number, NEXT_LEVEL);
    assert_string_equal(s->intent->level.version, "0.2.0");
    assert_string_equal(last_event(s)->kind, "level");
    assert_string_equal(last_event(s)->subject, "3");
    size_t events = s->intent->history_count;
    for (uint32_t level = 1; level <= NEXT_LEVEL; level++) {
        assert_int_equal(raise_to(s, level, "0.1.0"), 0);
        assert_true(s->result.unchanged);
    }
    assert_int_equal(s->intent->level.number, NEXT_LEVEL);
    assert_int_equal(s->intent->history_count, events);
}

/* Breaks if a peer goes on beyond what it knows. */
static void test_raise_beyond(void **state)
{
    struct state *s = *state;
    assert_int_equal(raise_to(s, NEXT_LEVEL + 1, "0.3.0"), -EPROTONOSUPPORT);
    assert_int_equal(s->intent->level.number, NEXT_LEVEL + 1);
    assert_string_equal(s->intent->level.version, "0.3.0");
    assert_int_equal(s->intent->applied_index, 0);
}

/* Breaks if a state loses its level on its way, or if one of an unknown level is read, or is not
 * told from rubbish. */
static void test_state(void **state)
{
    struct state *s = *state;
    cleanup_buffer struct buffer bytes = {0};
    struct intent *read;
    struct intent_level level = {0};
    assert_int_equal(raise_to(s, NEXT_LEVEL, "0.2.0"), 0);
    assert_int_equal(intent_write(s->intent, &bytes), 0);
    assert_int_equal(intent_read(buffer_view(&bytes), &read), 0);
    assert_int_equal(read->level.number, NEXT_LEVEL);
    assert_string_equal(read->level.version, "0.2.0");
    intent_free(read);

    bytes.bytes[0] = NEXT_LEVEL + 1;
    assert_int_equal(intent_read(buffer_view(&bytes), &read), -EPROTONOSUPPORT);
    assert_int_equal(intent_level_peek(buffer_view(&bytes), &level), 0);
    assert_int_equal(level.number, NEXT_LEVEL + 1);
    assert_string_equal(level.version, "0.2.0");
    bytes.bytes[0] = 0;
    assert_int_equal(intent_read(buffer_view(&bytes), &read), -EBADMSG);
    assert_int_equal(intent_level_peek(buffer_view(&bytes), &level), -EBADMSG);
    bytes.bytes[0] = 1;
    bytes.bytes[2] = '\n'; /* of the version, which comes to people's eyes */
    assert_int_equal(intent_level_peek(buffer_view(&bytes), &level), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_above_has_no_effect, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_above_has_no_effect, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_type_under_too_low_a_level, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_written_by_the_first_level, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_raise, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_raise_beyond, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_state, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("levels-commands", tests, NULL, NULL);
}
