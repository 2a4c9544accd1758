#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/gossip/fake_network.h"

enum {
    PEERS = 20,
    SETTLE_MS = 120 * 1000,
    DEATHS = 6,
    FIRST_VICTIM = 3,
    MINUTE_MS = 60 * 1000,
    IDLE_MINUTES = 10,
    PATIENT_MINUTES = 4, /* as long as edge's patience lasts, after a change */
    MIXED_SEEDS = 8,
};

/* What swim.h and the manual say of a profile, on links such as it is for. */
struct expectation {
    struct swim_config (*config)(void);
    int64_t delay_min_ms, delay_max_ms;
    unsigned loss_percent;
    int64_t death_ms;          /* known to all by then */
    uint64_t bytes_per_second; /* of an idle peer, without sealing and headers: 60 each packet */
};

static const struct expectation lan = {swim_config_lan, 1, 5, 0, 3000, 100};
static const struct expectation wan = {swim_config_wan, 20, 150, 2, 20000, 40};
static const struct expectation edge = {swim_config_edge, 50, 500, 10, 90000, 30};

static unsigned event_count(const struct fake_network *net, enum swim_event_type type)
{
    unsigned count = 0;
    for (size_t i = 0; i < net->count; i++)
        count += net->peers[i].event_counts[type];
    return count;
}

static size_t victim;

static bool victim_is_dead(struct fake_network *net)
{
    for (size_t i = 0; i < net->count; i++)
        if (net->peers[i].swim && fake_state(net, i, victim) != SWIM_DEAD)
            return false;
    return true;
}

static bool victim_is_suspect(struct fake_network *net)
{
    for (size_t i = 0; i < net->count; i++)
        if (net->peers[i].swim && fake_state(net, i, victim) != SWIM_SUSPECT)
            return false;
    return true;
}

static void set_profile(struct fake_network *net, size_t index, struct swim_config (*config)(void))
{
    struct swim_config timings = config();
    assert_int_equal(swim_set_profile(net->peers[index].swim, net->now_ms, &timings), 0);
    net->peers[index].deadline_ms = net->now_ms;
}

static void set_all(struct fake_network *net, struct swim_config (*config)(void))
{
    for (size_t i = 0; i < net->count; i++)
        if (net->peers[i].swim)
            set_profile(net, i, config);
}

/* A fleet that has lived with the profile since long ago, on the links that it is for. */
static void start(struct fake_network *net, const struct expectation *of, uint64_t seed)
{
    fake_init(net, PEERS, seed);
    net->delay_min_ms = of->delay_min_ms;
    net->delay_max_ms = of->delay_max_ms;
    net->loss_percent = of->loss_percent;
    struct fact_pool *pool = net->config.pool;
    net->config = of->config(); /* of those that start later */
    net->config.pool = pool;
    set_all(net, of->config);
    fake_run(net, PATIENT_MINUTES * MINUTE_MS);
    assert_true(fake_wait(net, SETTLE_MS, fake_all_alive) >= 0);
    fake_forget_events(net);
}

/* The links become as good as lan's. */
static void mend_links(struct fake_network *net)
{
    net->delay_min_ms = lan.delay_min_ms;
    net->delay_max_ms = lan.delay_max_ms;
    net->loss_percent = lan.loss_percent;
    fake_run(net, MINUTE_MS);
    assert_true(fake_wait(net, SETTLE_MS, fake_all_alive) >= 0);
}

static void check_idle(struct fake_network *net, const struct expectation *of)
{
    uint64_t before = net->packet_bytes + net->stream_bytes;
    fake_run(net, IDLE_MINUTES * MINUTE_MS);
    uint64_t bytes = net->packet_bytes + net->stream_bytes - before;
    assert_in_range(bytes / (IDLE_MINUTES * 60 * PEERS), 1, of->bytes_per_second);
    assert_int_equal(event_count(net, SWIM_MEMBER_DEAD), 0);
}

static void check_deaths(struct fake_network *net, const struct expectation *of)
{
    for (victim = FIRST_VICTIM; victim < FIRST_VICTIM + DEATHS; victim++) {
        fake_stop(net, victim);
        int64_t took_ms = fake_wait(net, of->death_ms, victim_is_dead);
        print_message("a death is known after %d ms\n", (int)took_ms);
        assert_in_range(took_ms, 1, of->death_ms);
        fake_start(net, victim);
        assert_true(fake_wait(net, SETTLE_MS, fake_all_alive) >= 0);
        fake_run(net, MINUTE_MS);
    }
}

/* Breaks if a profile finds deaths later, costs more, or errs more than operators are told. */
static void test_profiles_keep_their_word(void **state)
{
    static const struct expectation *const all[] = {&lan, &wan, &edge};
    static struct fake_network net;
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        start(&net, all[i], 1 + i);
        check_idle(&net, all[i]);
        check_deaths(&net, all[i]);
        fake_done(&net);
    }
}

/* Breaks if a fleet of which half has another profile, as it does while the word of a change
 * spreads, holds living peers dead. */
static void test_mixed_fleet_errs_not(void **state)
{
    static struct fake_network net;
    (void)state;
    for (uint64_t seed = 1; seed <= MIXED_SEEDS; seed++) {
        start(&net, seed % 2 ? &lan : &edge, seed);
        net.loss_percent = 10;
        net.delay_min_ms = 1;
        net.delay_max_ms = 50;
        for (size_t i = 0; i < PEERS / 2; i++)
            set_profile(&net, 2 * i, seed % 2 ? swim_config_edge : swim_config_lan);
        fake_run(&net, MINUTE_MS);
        assert_int_equal(event_count(&net, SWIM_MEMBER_DEAD), 0);
        set_all(&net, seed % 2 ? swim_config_edge : swim_config_lan);
        fake_run(&net, MINUTE_MS);
        assert_int_equal(event_count(&net, SWIM_MEMBER_DEAD), 0);
        fake_done(&net);
    }
}

/* Breaks if a change cuts short what a suspect has left to refute, while others still are slow. */
static void test_suspicion_keeps_its_patience(void **state)
{
    static struct fake_network net;
    (void)state;
    start(&net, &edge, 5);
    mend_links(&net);
    victim = FIRST_VICTIM;
    fake_stop(&net, victim);
    assert_true(fake_wait(&net, edge.death_ms, victim_is_suspect) >= 0);
    set_all(&net, swim_config_lan);
    fake_run(&net, 3 * lan.death_ms);
    assert_true(victim_is_suspect(&net)); /* as edge has it: 20 s at least */
    assert_true(fake_wait(&net, edge.death_ms, victim_is_dead) >= 0);

    victim++; /* suspicions that begin soon after are as long */
    fake_stop(&net, victim);
    fake_run(&net, 3 * lan.death_ms);
    assert_true(victim_is_suspect(&net));
    assert_true(fake_wait(&net, edge.death_ms, victim_is_dead) >= 0);

    fake_run(&net, PATIENT_MINUTES * MINUTE_MS); /* and later ones are not */
    victim++;
    fake_stop(&net, victim);
    assert_in_range(fake_wait(&net, lan.death_ms, victim_is_dead), 1, lan.death_ms);
    fake_done(&net);
}

/* Breaks if the slower profile comes too late for the suspects of the faster one. */
static void test_suspicion_grows(void **state)
{
    static struct fake_network net;
    (void)state;
    start(&net, &lan, 6);
    victim = FIRST_VICTIM;
    fake_stop(&net, victim);
    assert_true(fake_wait(&net, lan.death_ms, victim_is_suspect) >= 0);
    set_all(&net, swim_config_edge);
    fake_run(&net, 2 * lan.death_ms);
    assert_true(victim_is_suspect(&net));
    assert_true(fake_wait(&net, edge.death_ms, victim_is_dead) >= 0);
    fake_done(&net);
}

/* Breaks if a probe that was sent under a fast profile fails though the slower one, chosen since,
 * gives its answer time. */
static void test_probe_gets_the_longer_time(void **state)
{
    static struct fake_network net;
    (void)state;
    fake_init(&net, 2, 7);
    assert_true(fake_wait(&net, SETTLE_MS, fake_all_alive) >= 0);
    net.delay_min_ms = net.delay_max_ms = 900; /* there and back: 1.8 s, in edge's time */
    fake_run(&net, 450);                       /* what is under way is answered late */
    set_all(&net, swim_config_edge);
    fake_forget_events(&net);
    fake_run(&net, MINUTE_MS);
    assert_int_equal(event_count(&net, SWIM_MEMBER_SUSPECT), 0);
    fake_done(&net);
}

/* Breaks if the next probe waits as long as the slow profile had it. */
static void test_faster_probes_begin_at_once(void **state)
{
    static struct fake_network net;
    enum { SEEDS = 8, PROBED_AND_FAILED_MS = 600 + 400 + 100 };
    (void)state;
    victim = 1;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        fake_init(&net, 2, seed);
        set_all(&net, swim_config_edge);
        fake_run(&net, MINUTE_MS + 1000); /* each 5 s, but not now */
        assert_true(fake_all_alive(&net));
        set_all(&net, swim_config_lan);
        fake_stop(&net, victim);
        assert_true(fake_wait(&net, PROBED_AND_FAILED_MS, victim_is_suspect) >= 0);
        fake_done(&net);
    }
}

/* Breaks if the dead, whom the slow profile tries every ten minutes, stay so in the fast one. */
static void test_reconnects_sooner(void **state)
{
    static struct fake_network net;
    enum { SEEDS = 4, AWAY_MINUTES = 90, BACK_MS = 35 * 1000 };
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        fake_init(&net, 2, seed);
        set_all(&net, swim_config_edge);
        fake_run(&net, MINUTE_MS);
        net.peers[1].group = 1;
        fake_run(&net, AWAY_MINUTES * MINUTE_MS);
        net.peers[1].group = 0;
        set_all(&net, swim_config_lan);
        assert_true(fake_wait(&net, BACK_MS, fake_all_alive) >= 0);
        fake_done(&net);
    }
}

/* Breaks if the answer that a patient peer asked an impatient one for is thrown away for having
 * come after the nack. */
static void test_late_answer_is_relayed(void **state)
{
    static struct fake_network net;
    enum { ASKER, TARGET, HELPER, COUNT };
    (void)state;
    fake_init(&net, COUNT, 10);
    assert_true(fake_wait(&net, SETTLE_MS, fake_all_alive) >= 0);
    set_profile(&net, ASKER, swim_config_edge);
    set_profile(&net, TARGET, swim_config_edge);
    net.cut[ASKER][TARGET] = net.cut[TARGET][ASKER] = true;
    net.delay_min_ms = net.delay_max_ms = 90; /* the helper, in lan, nacks after 120 ms */
    fake_forget_events(&net);
    fake_run(&net, 2 * MINUTE_MS);
    assert_int_equal(net.peers[ASKER].event_counts[SWIM_MEMBER_SUSPECT], 0);
    fake_done(&net);
}

/* Breaks if values out of bounds are taken, or half of them are. */
static void test_tuning_is_bounded(void **state)
{
    static const struct swim_tuning bad[] = {
        {.probe_interval_ms = SWIM_PROBE_INTERVAL_MS_MIN - 1, .fanout = 2},
        {.probe_interval_ms = SWIM_PROBE_INTERVAL_MS_MAX + 1},
        {.probe_interval_ms = 1000, .suspicion = SWIM_SUSPICION_MAX + 1},
        {.probe_interval_ms = 1000, .fanout = SWIM_FANOUT_MAX + 1},
    };
    static struct swim_config (*const profiles[])(void) = {swim_config_lan, swim_config_wan,
                                                           swim_config_edge};
    static struct fake_network net;
    (void)state;
    fake_init(&net, 1, 11);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct swim_config config = swim_config_lan();
        assert_int_equal(swim_config_tune(&config, &bad[i]), -EINVAL);
        assert_int_equal(config.probe_interval_ms, swim_config_lan().probe_interval_ms);
        assert_int_equal(config.gossip_fanout, swim_config_lan().gossip_fanout);
    }
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
        for (uint32_t ms = SWIM_PROBE_INTERVAL_MS_MIN; ms <= SWIM_PROBE_INTERVAL_MS_MAX; ms *= 2) {
            struct swim_config config = profiles[i]();
            struct swim_tuning tuning = {ms, SWIM_SUSPICION_MAX, 1};
            assert_int_equal(swim_config_tune(&config, &tuning), 0);
            assert_int_equal(config.probe_interval_ms, ms);
            assert_int_equal(config.suspicion_min_multiplier, SWIM_SUSPICION_MAX);
            assert_true(config.suspicion_max_multiplier > SWIM_SUSPICION_MAX);
            assert_int_equal(config.gossip_fanout, 1);
            assert_int_equal(swim_set_profile(net.peers[0].swim, net.now_ms, &config), 0);
        }
    }
    struct swim_config config = swim_config_lan();
    config.probe_timeout_ms = config.probe_window_ms;
    assert_int_equal(swim_set_profile(net.peers[0].swim, net.now_ms, &config), -EINVAL);
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profiles_keep_their_word),
        cmocka_unit_test(test_mixed_fleet_errs_not),
        cmocka_unit_test(test_suspicion_keeps_its_patience),
        cmocka_unit_test(test_suspicion_grows),
        cmocka_unit_test(test_probe_gets_the_longer_time),
        cmocka_unit_test(test_faster_probes_begin_at_once),
        cmocka_unit_test(test_reconnects_sooner),
        cmocka_unit_test(test_late_answer_is_relayed),
        cmocka_unit_test(test_tuning_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
