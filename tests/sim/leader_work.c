#include "tests/sim/leader_work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was hashed is not shown to anybody else. */
#include "node/control/agent_private.h"
#include "tests/sim/cluster.h"

enum {
    SETTLE_MS = 300000,
    CALM_MS = 20000,
    EACH_MS = 1000,  /* between two commits */
    LOOK_MS = 5,     /* between looks at who has one */
    LATE_MS = 60000, /* after the last */
    SERVICES_AT_ONCE = 20,
};

static char why[256];

/* What the machines have done so far. */
struct tally {
    struct machine_traffic sent, received; /* by the leader */
    uint64_t hashed_bytes, step_ns;
    uint64_t all_count, all_bytes;
    struct machine_traffic *others; /* sent, by machine */
};

/* When which machine had which commit. */
struct arrivals {
    unsigned leader;
    uint64_t first;        /* its index */
    int64_t *committed_ms; /* by commit */
    int64_t *times_ms;     /* of all machines and commits, as they arrive */
    size_t count;
    uint64_t *applied; /* by machine, up to the last commit */
};

static void look(struct cluster *c, struct arrivals *arrivals, uint64_t newest)
{
    for (unsigned i = 0; i < c->count; i++) {
        uint64_t applied = agent_intent(c->machines[i].agent)->applied_index;
        while (arrivals->applied[i] < applied && arrivals->applied[i] < newest) {
            size_t commit = (size_t)(++arrivals->applied[i] - arrivals->first);
            arrivals->times_ms[arrivals->count++] =
                c->timeline.now_ms - arrivals->committed_ms[commit];
        }
    }
}

static uint64_t applied_by(struct cluster *c, unsigned machine)
{
    return agent_intent(c->machines[machine].agent)->applied_index;
}

static bool run_and_look(struct cluster *c, struct arrivals *arrivals, int64_t duration_ms,
                         uint64_t *newest)
{
    for (int64_t left_ms = duration_ms; left_ms > 0; left_ms -= LOOK_MS) {
        if (!cluster_run(c, LOOK_MS))
            return false;
        uint64_t applied = applied_by(c, arrivals->leader);
        while (*newest < applied)
            arrivals->committed_ms[++*newest - arrivals->first] = c->timeline.now_ms;
        look(c, arrivals, *newest);
    }
    return true;
}

static struct tally tally_of(struct cluster *c, unsigned leader)
{
    const struct machine *machine = &c->machines[leader];
    struct tally tally = {.sent = machine->sent,
                          .received = machine->received,
                          .hashed_bytes = machine->agent->feed.hashed_bytes,
                          .step_ns = machine->step_ns};
    tally.others = sim_allocate(c->count * sizeof(*tally.others));
    for (unsigned i = 0; i < c->count; i++) {
        tally.all_count += c->machines[i].sent.count;
        tally.all_bytes += c->machines[i].sent.bytes;
        tally.others[i] = c->machines[i].sent;
    }
    return tally;
}

/* What the time between two tallies, and that between the next two, differ by, per commit. */
static uint64_t each(uint64_t a, uint64_t b, uint64_t c, unsigned commits)
{
    int64_t extra = (int64_t)(c - b) - (int64_t)(b - a);
    return extra > 0 ? (uint64_t)extra / commits : 0;
}

static struct machine_traffic traffic_each(const struct machine_traffic *a,
                                           const struct machine_traffic *b,
                                           const struct machine_traffic *c, unsigned commits)
{
    return (struct machine_traffic){
        .count = each(a->count, b->count, c->count, commits),
        .bytes = each(a->bytes, b->bytes, c->bytes, commits),
        .feed_count = each(a->feed_count, b->feed_count, c->feed_count, commits),
        .feed_bytes = each(a->feed_bytes, b->feed_bytes, c->feed_bytes, commits)};
}

static int compare_ms(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void sum_up(struct cluster *c, const struct tally tallies[3], unsigned leader,
                   unsigned commits, struct leader_work *ret)
{
    const struct tally *a = &tallies[0], *b = &tallies[1], *end = &tallies[2];
    ret->sent = traffic_each(&a->sent, &b->sent, &end->sent, commits);
    ret->received = traffic_each(&a->received, &b->received, &end->received, commits);
    ret->hashed_bytes = each(a->hashed_bytes, b->hashed_bytes, end->hashed_bytes, commits);
    ret->step_us = each(a->step_ns, b->step_ns, end->step_ns, commits) / 1000;
    ret->all_count = each(a->all_count, b->all_count, end->all_count, commits) / c->count;
    ret->all_bytes = each(a->all_bytes, b->all_bytes, end->all_bytes, commits) / c->count;
    ret->rest_bytes_per_second = (b->sent.bytes - a->sent.bytes) * 1000 / (commits * EACH_MS);
    for (unsigned i = 0; i < c->count; i++) {
        struct machine_traffic traffic =
            traffic_each(&a->others[i], &b->others[i], &end->others[i], commits);
        if (i != leader && traffic.count > ret->most_count)
            ret->most_count = traffic.count;
        if (i != leader && traffic.feed_bytes > ret->most_feed_bytes)
            ret->most_feed_bytes = traffic.feed_bytes;
    }
}

static void add_services(struct cluster *c, unsigned leader, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "s%u_a", i);
        cluster_deploy(c, leader, &(struct sim_service){.name = name, .replicas = 0});
        if (i % SERVICES_AT_ONCE == SERVICES_AT_ONCE - 1)
            cluster_run(c, EACH_MS);
    }
    cluster_run(c, CALM_MS);
}

/* The commits; false if the fleet does not go on as it shall. */
static bool commit(struct cluster *c, struct arrivals *arrivals, unsigned commits)
{
    uint64_t newest = arrivals->first - 1;
    for (unsigned i = 0; i < commits; i++) {
        cluster_make_token(c, arrivals->leader, (uint8_t)(i + 1));
        if (!run_and_look(c, arrivals, EACH_MS, &newest))
            return false;
    }
    return newest == arrivals->first + commits - 1;
}

static const char *watch(struct cluster *c, const struct leader_work_options *options,
                         struct arrivals *arrivals, struct leader_work *ret)
{
    unsigned commits = options->commits, leader = arrivals->leader;
    struct tally tallies[3];
    uint64_t newest = arrivals->first + commits - 1;
    tallies[0] = tally_of(c, leader);
    bool works = cluster_run(c, (int64_t)commits * EACH_MS);
    tallies[1] = tally_of(c, leader);
    works = works && commit(c, arrivals, commits);
    tallies[2] = tally_of(c, leader);
    works = works && cluster_leader(c) == (int)leader;
    if (works)
        sum_up(c, tallies, leader, commits, ret);
    for (int64_t ms = 0; works && ms < LATE_MS && arrivals->count < (size_t)commits * c->count;
         ms += LOOK_MS)
        works = run_and_look(c, arrivals, LOOK_MS, &newest);
    for (size_t i = 0; i < 3; i++)
        free(tallies[i].others);
    if (!works || arrivals->count < (size_t)commits * c->count)
        return c->has_failed ? c->failure : "not every peer has every commit from one leader";
    qsort(arrivals->times_ms, arrivals->count, sizeof(*arrivals->times_ms), compare_ms);
    ret->median_ms = arrivals->times_ms[arrivals->count / 2];
    ret->p99_ms = arrivals->times_ms[arrivals->count * 99 / 100];
    ret->max_ms = arrivals->times_ms[arrivals->count - 1];
    return NULL;
}

static const char *measure(struct cluster *c, const struct leader_work_options *options,
                           struct leader_work *ret)
{
    cluster_start_grown(c);
    if (!cluster_wait(c, SETTLE_MS, cluster_is_settled))
        return c->has_failed ? c->failure : cluster_unsettled(c);
    add_services(c, (unsigned)cluster_leader(c), options->services);
    c->network.weather.loss = options->loss;
    cluster_run(c, CALM_MS);
    c->times_steps = options->times_steps;
    struct arrivals arrivals = {.leader = (unsigned)cluster_leader(c)};
    arrivals.first = applied_by(c, arrivals.leader) + 1;
    arrivals.committed_ms = sim_allocate(options->commits * sizeof(*arrivals.committed_ms));
    arrivals.times_ms = sim_allocate(options->commits * c->count * sizeof(*arrivals.times_ms));
    arrivals.applied = sim_allocate(c->count * sizeof(*arrivals.applied));
    for (unsigned i = 0; i < c->count; i++)
        arrivals.applied[i] = arrivals.first - 1;
    const char *rc = watch(c, options, &arrivals, ret);
    cleanup_buffer struct buffer state = {0};
    if (intent_write(agent_intent(c->machines[arrivals.leader].agent), &state) == 0)
        ret->intent_bytes = state.size;
    free(arrivals.committed_ms);
    free(arrivals.times_ms);
    free(arrivals.applied);
    return rc;
}

const char *leader_work_measure(const struct leader_work_options *options, struct leader_work *ret)
{
    struct cluster *c = sim_allocate(sizeof(*c));
    struct leader_work work = {.peers = options->peers};
    cluster_init(c, options->peers, options->seed);
    const char *problem = measure(c, options, &work);
    if (problem)
        snprintf(why, sizeof(why), "%s", problem);
    else
        *ret = work;
    cluster_done(c);
    free(c);
    return problem ? why : NULL;
}
