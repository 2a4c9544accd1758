/* The text that is served: that it is documented, and well formed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/metrics/metrics.h"

enum {
    LINE_BYTES = 4096,
};

static char *served(const struct metrics *metrics)
{
    static const struct metrics_sample nothing = {0};
    struct buffer buffer = {0};
    struct metrics all = *metrics;
    if (!all.sample)
        all.sample = &nothing;
    assert_int_equal(metrics_render(&all, &buffer), 0);
    char *text = buffer_take_text(&buffer);
    assert_non_null(text);
    return text;
}

static char *page(void)
{
    struct buffer buffer = {0};
    char line[LINE_BYTES];
    FILE *file = fopen(METRICS_PAGE, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        assert_int_equal(buffer_append_text(&buffer, line), 0);
    fclose(file);
    char *text = buffer_take_text(&buffer);
    assert_non_null(text);
    return text;
}

/* Breaks if something is served that docs/metrics.md does not list, or under another type. */
static void test_served_is_documented(void **state)
{
    (void)state;
    struct metrics metrics = {.is_member = true};
    char *text = served(&metrics), *documented = page(), *rest = NULL;
    size_t count = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[128], type[16], row[256];
        if (sscanf(line, "# TYPE %127s %15s", name, type) != 2)
            continue;
        count++;
        snprintf(row, sizeof(row), "| `%s` | %s |", name, type);
        if (!strstr(documented, row))
            fail_msg("docs/metrics.md has no row %s", row);
    }
    assert_true(count > 40);
    free(text);
    free(documented);
}

/* Breaks if docs/metrics.md lists what is not served, or labels' words that are not. */
static void test_documented_is_served(void **state)
{
    (void)state;
    struct metrics metrics = {.is_member = true};
    char *text = served(&metrics), *documented = page(), *rest = NULL;
    size_t count = 0;
    for (char *line = strtok_r(documented, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[128], type[16], row[256];
        if (sscanf(line, "| `consort_%120[a-z_]` | %15s |", name, type) != 2)
            continue;
        count++;
        snprintf(row, sizeof(row), "# TYPE consort_%s %s\n", name, type);
        if (!strstr(text, row))
            fail_msg("not served: %s", row);
    }
    assert_true(count > 40);
    free(text);
    free(documented);
}

/* Breaks if a label's word is served that the page does not have. */
static void test_words_are_documented(void **state)
{
    (void)state;
    struct metrics metrics = {.is_member = true};
    char *text = served(&metrics), *documented = page(), *rest = NULL;
    size_t count = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char label[32], word[64], quoted[80];
        if (sscanf(line, "%*[a-z_]{%31[a-z]=\"%63[^\"]\"}", label, word) != 2 ||
            strcmp(label, "le") == 0 || strcmp(label, "version") == 0)
            continue;
        count++;
        snprintf(quoted, sizeof(quoted), "`%s`", word);
        if (!strstr(documented, quoted))
            fail_msg("docs/metrics.md does not have %s of %s", quoted, line);
    }
    assert_true(count > 60);
    free(text);
    free(documented);
}

/* Breaks if a number is served under another's name or label. */
static void test_values(void **state)
{
    (void)state;
    static const char *const lines[] = {"consort_gossip_answers_total{path=\"direct\"} 11\n",
                                        "consort_gossip_answers_total{path=\"learnt\"} 12\n",
                                        "consort_gossip_answers_total{path=\"helper\"} 13\n",
                                        "consort_gossip_answers_total{path=\"stream\"} 14\n",
                                        "consort_gossip_paths{path=\"direct\"} 21\n",
                                        "consort_gossip_paths{path=\"learnt\"} 22\n",
                                        "consort_gossip_paths{path=\"helper\"} 23\n",
                                        "consort_gossip_paths{path=\"stream\"} 24\n",
                                        "consort_gossip_path_changes_total 31\n",
                                        "consort_gossip_keepalives_total 32\n",
                                        "consort_gossip_misplaced 1\n",
                                        "consort_gossip_profile{profile=\"lan\"} 0\n",
                                        "consort_gossip_profile{profile=\"wan\"} 1\n",
                                        "consort_gossip_profile{profile=\"edge\"} 0\n",
                                        "consort_gossip_probe_interval_seconds 0.250000\n",
                                        "consort_gossip_relays_refused_total 33\n",
                                        "consort_gossip_rumors_refused_total 34\n",
                                        "consort_gossip_syncs_refused_total 35\n",
                                        "consort_gossip_revoked 36\n",
                                        "consort_gossip_forgotten 37\n",
                                        "consort_session_table_bytes 41\n",
                                        "consort_links 42\n",
                                        "consort_links_relayed 43\n",
                                        "consort_links_passed_on 44\n"};
    struct metrics metrics = {.is_member = true,
                              .swim = {.answers = {11, 12, 13, 14},
                                       .paths = {21, 22, 23, 24},
                                       .path_changes = 31,
                                       .keepalives = 32,
                                       .is_misplaced = true,
                                       .relays_refused = 33,
                                       .rumors_refused = 34,
                                       .syncs_refused = 35,
                                       .revoked = 36,
                                       .forgotten = 37},
                              .profile = INTENT_PROFILE_WAN,
                              .probe_interval_ms = 250,
                              .session_bytes = 41,
                              .link_count = 42,
                              .relayed_link_count = 43,
                              .passed_link_count = 44};
    char *text = served(&metrics);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (!strstr(text, lines[i]))
            fail_msg("not served: %s", lines[i]);
    free(text);
}

/* Breaks if a line is no comment and no value: a scraper would refuse all of it. */
static void test_lines(void **state)
{
    (void)state;
    struct metrics metrics = {.is_member = true};
    char *text = served(&metrics), *rest = NULL, named[128] = "";
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[128];
        double number;
        if (sscanf(line, "# TYPE %127s", named) == 1 || strncmp(line, "# HELP ", 7) == 0)
            continue;
        const char *space = strrchr(line, ' ');
        assert_non_null(space);
        assert_int_equal(sscanf(space, "%lf", &number), 1);
        assert_int_equal(sscanf(line, "%127[a-z_]", name), 1);
        if (strncmp(name, named, strlen(named)) != 0)
            fail_msg("%s stands under the TYPE of %s", line, named);
    }
    free(text);
}

/* Breaks if what needs a cluster is served as zeros without one: a dead fleet would look like it.
 */
static void test_without_cluster(void **state)
{
    (void)state;
    struct metrics metrics = {.memory_bytes = 4096};
    char *text = served(&metrics);
    assert_non_null(strstr(text, "consort_member 0\n"));
    assert_non_null(strstr(text, "consort_process_resident_memory_bytes 4096\n"));
    assert_null(strstr(text, "gossip"));
    assert_null(strstr(text, "raft"));
    free(text);
}

/* Breaks if buckets are not summed up, or what is slower than all of them is left out. */
static void test_buckets(void **state)
{
    (void)state;
    struct metrics metrics = {0};
    metrics_lag_add(&metrics.lag, -1); /* early is not late */
    metrics_lag_add(&metrics.lag, 1);
    metrics_lag_add(&metrics.lag, 7);
    metrics_lag_add(&metrics.lag, 60000);
    char *text = served(&metrics);
    assert_non_null(strstr(text, "consort_loop_lag_seconds_bucket{le=\"0.001\"} 2\n"));
    assert_non_null(strstr(text, "consort_loop_lag_seconds_bucket{le=\"0.005\"} 2\n"));
    assert_non_null(strstr(text, "consort_loop_lag_seconds_bucket{le=\"0.01\"} 3\n"));
    assert_non_null(strstr(text, "consort_loop_lag_seconds_bucket{le=\"1\"} 3\n"));
    assert_non_null(strstr(text, "consort_loop_lag_seconds_bucket{le=\"+Inf\"} 4\n"));
    assert_non_null(strstr(text, "consort_loop_lag_seconds_count 4\n"));
    assert_non_null(strstr(text, "consort_loop_lag_seconds_sum 60.008000\n"));
    free(text);
}

/* Breaks if a container's numbers are served under another's name, or what is not known as 0. */
static void test_containers(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "\nconsort_container_cpu_seconds_total{service=\"web\",slot=\"2\"} 1.500000\n",
        "\nconsort_container_cpu_limit_cores{service=\"web\",slot=\"2\"} 0.250000\n",
        "\nconsort_container_memory_bytes{service=\"web\",slot=\"2\"} 4096\n",
        "\nconsort_container_memory_limit_bytes{service=\"web\",slot=\"2\"} 8192\n",
        "\nconsort_container_pids{service=\"web\",slot=\"2\"} 7\n",
        ("\nconsort_container_waiting_seconds_total{service=\"web\",slot=\"2\",resource=\"cpu\"} "
         "2.000000\n"),
        "\nconsort_container_memory_bytes{service=\"a\\\"b\\\\c\\nd\",slot=\"1\"} 1\n",
        "\nconsort_containers_left_out 9\n"};
    struct metrics_container containers[] = {
        {.service = "a\"b\\c\nd",
         .slot = 1,
         .stats = {.memory_bytes = 1,
                   .cpu_pressure = {.permille = -1},
                   .memory_pressure = {.permille = -1},
                   .io_pressure = {.permille = -1}}},
        {.service = "web",
         .slot = 2,
         .stats = {.memory_bytes = 4096,
                   .memory_limit_bytes = 8192,
                   .cpu_usec = 1500000,
                   .cpu_limit_millicores = 250,
                   .pids = 7,
                   .cpu_pressure = {.permille = 1, .waited_usec = 2000000},
                   .memory_pressure = {.permille = -1},
                   .io_pressure = {.permille = 0}}}};
    struct metrics_sample sample = {.containers = containers, .count = 2, .left_out = 9};
    struct metrics metrics = {.is_member = true, .sample = &sample};
    char *text = served(&metrics);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (!strstr(text, lines[i]))
            fail_msg("not served: %s", lines[i]);
    assert_null(strstr(text, "slot=\"2\",resource=\"memory\""));
    assert_null(strstr(text, "slot=\"1\",resource"));
    assert_null(strstr(text, "_limit_bytes{service=\"a"));
    assert_null(strstr(text, "_limit_cores{service=\"a"));
    free(text);
}

/* Breaks if a rollout, when two generations of a slot run here, gives one series twice, which
 * Prometheus refuses; or if nothing bounds how many there are. */
static void test_containers_are_ordered_and_bounded(void **state)
{
    (void)state;
    enum { SLOTS = METRICS_CONTAINERS_MAX + 5 };
    struct metrics_sample sample = {.containers = calloc(SLOTS + 2, sizeof(*sample.containers))};
    assert_non_null(sample.containers);
    for (uint32_t i = 0; i < SLOTS; i++)
        sample.containers[sample.count++] =
            (struct metrics_container){.service = "web", .slot = SLOTS - i, .generation = 10};
    sample.containers[sample.count++] =
        (struct metrics_container){.service = "web", .slot = 3, .generation = 11};
    sample.containers[sample.count++] =
        (struct metrics_container){.service = "db", .slot = 3, .generation = 9};
    metrics_sample_order(&sample);
    assert_int_equal(sample.count, METRICS_CONTAINERS_MAX);
    assert_int_equal(sample.left_out, SLOTS + 1 - METRICS_CONTAINERS_MAX);
    assert_string_equal(sample.containers[0].service, "db");
    for (uint32_t i = 1; i < sample.count; i++) {
        assert_int_equal(sample.containers[i].slot, i);
        assert_int_equal(sample.containers[i].generation, i == 3 ? 11 : 10);
    }
    metrics_sample_done(&sample);
    assert_int_equal(sample.count, 0);
    metrics_sample_order(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_served_is_documented),
        cmocka_unit_test(test_documented_is_served),
        cmocka_unit_test(test_words_are_documented),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_containers_are_ordered_and_bounded),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_without_cluster),
        cmocka_unit_test(test_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
