/* What `consort watch` draws and says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/cli/watch_screen.h"

static json_t *peer_of(const char *name, const char *state)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "id", name, "name", name, "state",
                     state, "zone", "a", "since_ms", (json_int_t)5000, "rtt_us", (json_int_t)213,
                     "health", (json_int_t)0, "replicas", (json_int_t)2);
}

static json_t *service_of(const char *name, int serving)
{
    return json_pack("{s:s, s:i, s:i, s:s}", "name", name, "serving", serving, "replicas", 3,
                     "rollout", "done");
}

static json_t *state_of(size_t peer_count, const char *first, int serving)
{
    json_t *peers = json_array(), *services = json_array();
    for (size_t i = 0; i < peer_count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "p%zu", i);
        json_array_append_new(peers, peer_of(name, i == 0 ? first : "alive"));
    }
    json_array_append_new(services, service_of("s_web", serving));
    return json_pack("{s:s, s:s, s:b, s:i, s:i, s:o, s:o}", "name", "p0", "leader", "p1", "quorum",
                     1, "members", (int)peer_count, "live", (int)peer_count, "peers", peers,
                     "services", services);
}

static json_t *event_of(int number)
{
    char text[64];
    snprintf(text, sizeof(text), "event %d \x1b[2J", number);
    return json_pack("{s:I, s:s, s:s, s:s}", "wall_ms", (json_int_t)number * 1000, "actor", "ann",
                     "subject", "s_web", "text", text);
}

static char *draw(const struct watch_screen *screen)
{
    struct buffer buffer = {0};
    watch_screen_draw(screen, &buffer);
    char *text = buffer_take_text(&buffer);
    assert_non_null(text);
    return text;
}

static size_t lines_of(const char *text)
{
    size_t count = 1;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static struct watch_screen screen_of(size_t peer_count, unsigned rows, bool has_color)
{
    struct watch_screen screen = {.rows = rows,
                                  .has_color = has_color,
                                  .clock = "12:00:00",
                                  .state = state_of(peer_count, "suspect", 2)};
    for (int i = 1; i <= 50; i++) {
        json_t *event = event_of(i);
        watch_screen_add_event(&screen, event);
        json_decref(event);
    }
    return screen;
}

static void done(struct watch_screen *screen)
{
    json_decref(screen->state);
    json_decref(screen->events);
}

/* Breaks if the screen scrolls, being higher than the terminal, or hides one of its parts. */
static void test_fits(void **state)
{
    (void)state;
    static const unsigned rows[] = {8, 10, 24, 60, 200};
    static const size_t peers[] = {1, 3, 20, 256};
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        for (size_t p = 0; p < sizeof(peers) / sizeof(peers[0]); p++) {
            struct watch_screen screen = screen_of(peers[p], rows[r], false);
            char *text = draw(&screen);
            assert_true(lines_of(text) <= rows[r]);
            assert_non_null(strstr(text, "PEER"));
            assert_non_null(strstr(text, "SERVICE"));
            assert_non_null(strstr(text, "s_web"));
            assert_non_null(strstr(text, "EVENTS"));
            assert_non_null(strstr(text, "event 50"));
            free(text);
            done(&screen);
        }
    }
}

/* Breaks if peers that have no room are left out without a word, or the troubled one is. */
static void test_says_what_is_cut(void **state)
{
    (void)state;
    struct watch_screen screen = screen_of(100, 20, false);
    char *text = draw(&screen);
    assert_non_null(strstr(text, "p0 "));
    const char *cut = strstr(text, "... and ");
    assert_non_null(cut);
    long more = strtol(cut + strlen("... and "), NULL, 10);
    size_t shown = 0;
    for (const char *at = text; (at = strstr(at, "\np")); at++)
        shown++;
    assert_int_equal(shown + (size_t)more, 100);
    free(text);
    done(&screen);
}

/* Breaks if a name or an event can drive the terminal, or colours come where none are wanted. */
static void test_no_foreign_sequences(void **state)
{
    (void)state;
    struct watch_screen screen = screen_of(3, 24, false);
    char *text = draw(&screen);
    assert_null(strstr(text, "\x1b[2J"));
    assert_non_null(strstr(text, "event 50 ?[2J"));
    assert_null(strstr(text, "\x1b[33m"));
    free(text);
    screen.has_color = true;
    text = draw(&screen);
    assert_non_null(strstr(text, "\x1b[33mp0"));
    assert_null(strstr(text, "\x1b[33mp1"));
    free(text);
    done(&screen);
}

/* Breaks if nothing is drawn before the peer answers, or events are kept without end. */
static void test_beginning_and_bound(void **state)
{
    (void)state;
    struct watch_screen screen = {.rows = 24, .clock = ""};
    char *text = draw(&screen);
    assert_non_null(strstr(text, "waiting"));
    free(text);
    for (int i = 0; i < 3 * WATCH_EVENTS_KEPT; i++) {
        json_t *event = event_of(i);
        watch_screen_add_event(&screen, event);
        json_decref(event);
    }
    assert_int_equal(json_array_size(screen.events), WATCH_EVENTS_KEPT);
    assert_int_equal(json_number(json_array_get(screen.events, 0), "wall_ms"),
                     2 * WATCH_EVENTS_KEPT * 1000);
    done(&screen);
}

/* Breaks if, without a terminal, something is said that did not change, or a change is not. */
static void test_changes(void **state)
{
    (void)state;
    json_t *before = state_of(2, "alive", 3), *after = state_of(2, "dead", 2);
    struct buffer said = {0};
    watch_say_changes(NULL, before, &said);
    char *text = buffer_take_text(&said);
    assert_string_equal(text, "peer p0: alive\npeer p1: alive\n"
                              "service s_web: 3 of 3 replicas serve\np1 leads\n");
    free(text);
    watch_say_changes(before, after, &said);
    text = buffer_take_text(&said);
    assert_string_equal(text, "peer p0: dead\nservice s_web: 2 of 3 replicas serve\n");
    free(text);
    watch_say_changes(after, after, &said);
    assert_int_equal(said.size, 0);
    buffer_done(&said);
    json_decref(before);
    json_decref(after);
}

static json_t *state_of_namesakes(const char *first)
{
    json_t *old = peer_of("web", first), *new = peer_of("web", "alive");
    json_object_set_new(old, "id", json_string("3fa20000000000000000"));
    json_object_set_new(new, "id", json_string("91bc0000000000000000"));
    return json_pack("{s:s, s:[o,o], s:[]}", "leader", "p1", "peers", old, new, "services");
}

/* Breaks if of two peers with one name (one left, say, before the other came) it is not said which
 * one changed, or the one is compared with the other, and so told to change again and again. */
static void test_namesakes(void **state)
{
    (void)state;
    json_t *before = state_of_namesakes("suspect"), *after = state_of_namesakes("left");
    struct buffer said = {0};
    watch_say_changes(NULL, before, &said);
    char *text = buffer_take_text(&said);
    assert_string_equal(text, "peer web (3fa200000000): suspect\n"
                              "peer web (91bc00000000): alive\np1 leads\n");
    free(text);
    watch_say_changes(before, after, &said);
    text = buffer_take_text(&said);
    assert_string_equal(text, "peer web (3fa200000000): left\n");
    free(text);
    watch_say_changes(after, after, &said);
    assert_int_equal(said.size, 0);
    buffer_done(&said);
    json_decref(before);
    json_decref(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_says_what_is_cut),
        cmocka_unit_test(test_no_foreign_sequences),
        cmocka_unit_test(test_beginning_and_bound),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_namesakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
