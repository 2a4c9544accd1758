#include "tests/sim/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DURATION_MS_DEFAULT = 25000,
    STEP_MS_MAX = 1500,  /* between two things that happen */
    CALM_MS_MAX = 90000, /* until all must be settled */
    LOOK_MS = 200,       /* between looks at it */
    STAY_MS = 2000,      /* and must stay so */
    READ_MS = 1000,      /* in which reads are answered then */
    LEASE_PERMILLE = 30, /* more than clocks drift apart */
    FREEZE_MS_MAX = 6000,
    OUTAGE_MS_MAX = 15000,
    DAEMON_MS_MAX = 3000, /* systemd starts it again */
    SERVICES = 4,
    REPLICAS_MAX = 5,
    SYNC_SLOW_MS = 120,
    DRIFT_PPM_MAX = 10000,
    VOTERS_CHOICES = 4, /* 1, 3, 5 or 7 */
};

static const int64_t wall_skew_ms_max = 3 * 24 * 3600 * 1000;

static const char *const service_names[SERVICES] = {"web", "api", "one", "all"};

struct schedule {
    struct cluster c;
    const struct schedule_options *options;
    struct random random;
    struct random readers; /* of its own: what happens does not depend on who reads */
    uint32_t next_image;
};

static bool has(const struct schedule *s, enum fault fault)
{
    return s->options->faults & fault;
}

static uint64_t below(struct schedule *s, uint64_t bound)
{
    return random_below(&s->random, bound);
}

static unsigned some_machine(struct schedule *s)
{
    return (unsigned)below(s, s->c.count);
}

/* A service's kind follows from its name: "one" is exclusive, "all" is global, and
 * "api" is duplicated. */
static void some_service(struct schedule *s, struct sim_service *ret, char image[16])
{
    unsigned which = (unsigned)below(s, SERVICES);
    bool is_bad = below(s, 5) == 0;
    snprintf(image, 16, "%s:%u", is_bad ? "bad" : "app", ++s->next_image);
    *ret = (struct sim_service){
        .name = service_names[which],
        .image = image,
        .replicas = which == 2 ? 1 : 1 + (uint32_t)below(s, REPLICAS_MAX),
        .is_duplicated = which == 1,
        .is_exclusive = which == 2,
        .is_global = which == 3,
        .has_health = below(s, 2) == 0,
        .stops_first = below(s, 3) == 0,
        .stop_grace_ms = below(s, 2) == 0 ? 0 : 1000,
    };
}

static void command(struct schedule *s)
{
    struct sim_service service;
    char image[16];
    struct machine *via = cluster_some_member(&s->c, NULL);
    if (!via)
        return;
    some_service(s, &service, image);
    switch (below(s, has(s, FAULT_VOTERS) ? 9 : 8)) {
    case 0:
        cluster_remove(&s->c, via->number, service.name);
        break;
    case 1:
    case 2:
        cluster_scale(&s->c, via->number, service.name,
                      service.is_exclusive ? 1 : service.replicas);
        break;
    case 8:
        cluster_set_voters(&s->c, via->number, 1 + 2 * (uint32_t)below(s, VOTERS_CHOICES));
        break;
    case 3:
    case 4:
        cluster_update(&s->c, via->number, &service);
        break;
    default:
        cluster_deploy(&s->c, via->number, &service);
        break;
    }
}

static void change_weather(struct schedule *s)
{
    struct network_weather weather = network_calm();
    if (has(s, FAULT_LOSS) && below(s, 2))
        weather.loss = (unsigned)below(s, 300);
    if (has(s, FAULT_DUPLICATE) && below(s, 2))
        weather.duplicate = (unsigned)below(s, 300);
    if (has(s, FAULT_REORDER) && below(s, 2))
        weather.reorder = (unsigned)below(s, 300);
    if (has(s, FAULT_DELAY) && below(s, 2)) {
        weather.delay_min_ms = 1 + (int64_t)below(s, 40);
        weather.delay_max_ms = weather.delay_min_ms + (int64_t)below(s, 120);
    }
    trace_line(&s->c, "weather loss=%u duplicate=%u reorder=%u delay=%lld..%lld", weather.loss,
               weather.duplicate, weather.reorder, (long long)weather.delay_min_ms,
               (long long)weather.delay_max_ms);
    s->c.network.weather = weather;
}

/* Mostly one at a time, for long enough that something comes of it. */
static void change_partition(struct schedule *s)
{
    if (below(s, 3) > 0)
        cluster_heal_all(&s->c);
    switch (below(s, 4)) {
    case 0:
        cluster_partition(&s->c, below(s, (uint64_t)1 << s->c.count));
        break;
    case 1:
        cluster_partition(&s->c, (uint64_t)1 << some_machine(s));
        break;
    case 2:
        cluster_cut_one_way(&s->c, some_machine(s), some_machine(s));
        break;
    default:
        cluster_heal_all(&s->c);
        break;
    }
}

/* What ends by itself after a while. */

static void on_thaw(void *context, void *payload)
{
    (void)payload;
    machine_thaw(context);
}

static void on_boot(void *context, void *payload)
{
    (void)payload;
    machine_boot(context);
}

static void on_start(void *context, void *payload)
{
    (void)payload;
    machine_start_daemon(context);
}

static void later(struct schedule *s, uint64_t most_ms, timeline_callback *callback,
                  struct machine *machine)
{
    timeline_at(&s->c.timeline, s->c.timeline.now_ms + 50 + (int64_t)below(s, most_ms), callback,
                machine, NULL);
}

static void freeze(struct schedule *s)
{
    struct machine *machine = &s->c.machines[some_machine(s)];
    machine_freeze(machine);
    later(s, FREEZE_MS_MAX, on_thaw, machine);
}

static void crash(struct schedule *s)
{
    if (below(s, 8) == 0) {
        trace_line(&s->c, "power cut");
        for (unsigned i = 0; i < s->c.count; i++) {
            cluster_kill(&s->c, i);
            later(s, FREEZE_MS_MAX, on_boot, &s->c.machines[i]);
        }
        return;
    }
    unsigned i = some_machine(s);
    cluster_kill(&s->c, i);
    later(s, OUTAGE_MS_MAX, on_boot, &s->c.machines[i]);
}

/* One that has left stays down until it shall join again. */
static void kill_daemon(struct schedule *s)
{
    struct machine *machine = &s->c.machines[some_machine(s)];
    machine_kill_daemon(machine);
    later(s, DAEMON_MS_MAX, on_start, machine);
}

static bool is_seen_alive(struct schedule *s, const struct machine *machine)
{
    int leader = cluster_leader(&s->c);
    const struct view_peer *seen =
        leader < 0 ? NULL
                   : view_peer_find(agent_view(s->c.machines[leader].agent), &machine->identity.id);
    return seen && seen->liveness == VIEW_ALIVE;
}

/* Nobody leaves while another member is away: should all whom that one knows leave meanwhile, it
 * would find nobody when it comes back, and nobody would know where it is. */
static void churn(struct schedule *s)
{
    struct machine *machine = &s->c.machines[some_machine(s)];
    unsigned members = 0, there = 0;
    for (unsigned i = 0; i < s->c.count; i++) {
        members += s->c.machines[i].shall_be_member;
        there += s->c.machines[i].shall_be_member && is_seen_alive(s, &s->c.machines[i]);
    }
    if (machine->agent && machine->phase == MACHINE_MEMBER && members > 2 && there == members) {
        cluster_leave(&s->c, machine->number);
    } else if (machine->phase == MACHINE_GONE && !machine->agent) {
        machine->shall_be_member = true;
        machine_start_daemon(machine);
    }
}

static void slow_disks(struct schedule *s)
{
    s->c.sync_ms_max = below(s, 2) ? SIM_SYNC_MS_MAX : 1 + (int64_t)below(s, SYNC_SLOW_MS);
    trace_line(&s->c, "disks sync in up to %lld ms", (long long)s->c.sync_ms_max);
}

/* A command that was held back somewhere, and sent again meanwhile. */
static void send_copy(struct schedule *s)
{
    struct machine *via = cluster_some_member(&s->c, NULL);
    if (via)
        cluster_send_copy(&s->c, via->number, below(s, COPIES_MAX));
}

static void something_happens(struct schedule *s)
{
    static const enum fault weather = FAULT_LOSS | FAULT_DELAY | FAULT_DUPLICATE | FAULT_REORDER;
    unsigned which = (unsigned)below(s, has(s, FAULT_COPY) ? 13 : 12);
    if (which < 4)
        command(s);
    else if (which == 4 && has(s, weather))
        change_weather(s);
    else if (which == 5 && has(s, FAULT_PARTITION))
        change_partition(s);
    else if (which == 6 && has(s, FAULT_CONTAINER))
        containers_crash_one(&s->c.machines[some_machine(s)], below(s, 100));
    else if (which == 7 && has(s, FAULT_PAUSE))
        freeze(s);
    else if (which == 8 && has(s, FAULT_CRASH))
        crash(s);
    else if (which == 9 && has(s, FAULT_DAEMON))
        kill_daemon(s);
    else if (which == 10 && has(s, FAULT_DISK))
        slow_disks(s);
    else if (which == 11 && has(s, FAULT_CHURN))
        churn(s);
    else if (which == 12)
        send_copy(s);
}

/* The newest intent that anybody has; NULL while nobody leads. */
static const struct intent *leaders_intent(struct schedule *s)
{
    int leader = cluster_leader(&s->c);
    return leader < 0 ? NULL : agent_intent(s->c.machines[leader].agent);
}

/* What operators do about machines that a fault caught while they left: tell them again, or, when
 * the cluster let them go already, have them forget it. */
static void finish_leaving(struct schedule *s, struct machine *machine)
{
    const struct intent *intent = leaders_intent(s);
    if (!intent || !machine->agent || machine->is_leaving)
        return;
    const struct intent_peer *peer = intent_peer_find(intent, &machine->identity.id);
    if (machine->phase == MACHINE_GONE || (peer && !intent_peer_is_member(peer))) {
        machine_forget(machine);
        if (machine->shall_be_member)
            machine_start_daemon(machine);
    } else if (!machine->shall_be_member) {
        machine_leave(machine);
    } else if (peer && peer->state == INTENT_DRAINING) {
        machine->shall_be_member = false; /* it was about to leave when it crashed */
    }
}

/* What they do about services that fail. */
static void mend(struct schedule *s, const struct intent_service *service)
{
    uint8_t state = service->rollout.state;
    const struct service_spec *spec = &intent_revision_find(service, service->revision)->spec;
    struct machine *via = cluster_some_member(&s->c, NULL);
    /* A bad image counts as good when the leader did not hear of its crashes for long enough. */
    bool fails = state == INTENT_ROLLOUT_FAILED || state == INTENT_ROLLOUT_PAUSED ||
                 (state == INTENT_ROLLOUT_DONE && strncmp(spec->image, "bad", 3) == 0);
    if (!via || service->removing || !fails)
        return;
    cluster_update(&s->c, via->number,
                   &(struct sim_service){.name = service->stack,
                                         .image = "app:mended",
                                         .replicas = service->replicas,
                                         .is_exclusive = spec->exclusive,
                                         .is_global = spec->mode == SPEC_GLOBAL});
}

static void look_after(struct schedule *s)
{
    for (unsigned i = 0; i < s->c.count; i++)
        finish_leaving(s, &s->c.machines[i]);
    const struct intent *intent = leaders_intent(s);
    for (size_t i = 0; intent && cluster_is_answered(&s->c) && i < intent->services.count; i++)
        mend(s, intent->services.items[i]);
}

static void calm_down(struct schedule *s)
{
    trace_line(&s->c, "calm");
    cluster_heal_all(&s->c);
    s->c.network.weather = network_calm();
    s->c.sync_ms_max = SIM_SYNC_MS_MAX;
    for (unsigned i = 0; i < s->c.count; i++) {
        struct machine *machine = &s->c.machines[i];
        machine_thaw(machine);
        if (!machine->shall_be_member && machine->disk.content.chain.count == 0)
            continue;
        machine_boot(machine);
        machine_start_daemon(machine);
    }
}

/* A command that nobody waits for any more may still come into force: then it settles once more. */
static bool settles(struct schedule *s, int64_t *ret_ms)
{
    struct cluster *c = &s->c;
    int64_t began_ms = c->timeline.now_ms;
    while (c->timeline.now_ms < began_ms + CALM_MS_MAX) {
        if (cluster_is_answered(c) && cluster_is_settled(c)) {
            *ret_ms = c->timeline.now_ms - began_ms;
            if (!cluster_run(c, STAY_MS))
                return false;
            if (cluster_is_settled(c))
                return true;
        }
        if (!cluster_run(c, LOOK_MS))
            return false;
        look_after(s);
    }
    return false;
}

/* Once all is calm, a read at any member is answered. */
static bool reads_everywhere(struct schedule *s)
{
    unsigned members = 0, refused = s->c.reads_refused, answered = s->c.reads_answered;
    for (unsigned i = 0; i < s->c.count; i++) {
        members += s->c.machines[i].agent != NULL;
        machine_read(&s->c.machines[i]);
    }
    if (!cluster_run(&s->c, READ_MS))
        return false;
    if (s->c.reads_refused != refused || s->c.reads_answered - answered != members)
        cluster_fail(&s->c, "reads are not answered: %u of %u, once all is calm",
                     s->c.reads_answered - answered, members);
    return !s->c.has_failed;
}

static bool play(struct schedule *s, struct schedule_outcome *ret)
{
    int64_t duration_ms = s->options->duration_ms ? s->options->duration_ms : DURATION_MS_DEFAULT;
    if (has(s, FAULT_CLOCK)) {
        s->c.drift_ppm_max = DRIFT_PPM_MAX;
        s->c.wall_skew_ms_max = wall_skew_ms_max;
    }
    s->c.clock_drift_permille = random_chance(&s->readers, 1, 2) ? LEASE_PERMILLE : 0;
    if (!cluster_start(&s->c)) {
        cluster_fail(&s->c, "the cluster does not form: %s", cluster_unsettled(&s->c));
        return false;
    }
    int64_t end_ms = s->c.timeline.now_ms + duration_ms;
    for (unsigned i = 0; i < 2; i++)
        command(s);
    while (s->c.timeline.now_ms < end_ms) {
        if (!cluster_run(&s->c, 1 + (int64_t)below(s, STEP_MS_MAX)))
            return false;
        something_happens(s);
        machine_read(&s->c.machines[random_below(&s->readers, s->c.count)]);
    }
    calm_down(s);
    if (settles(s, &ret->settled_ms))
        return reads_everywhere(s);
    const char *why = cluster_unsettled(&s->c);
    cluster_fail(&s->c, "%s", why ? why : "what had settled does not stay so");
    return false;
}

void schedule_run(uint64_t seed, const struct schedule_options *options, struct trace trace,
                  struct schedule_outcome *ret)
{
    struct schedule *s = sim_allocate(sizeof(*s));
    *ret = (struct schedule_outcome){0};
    s->options = options;
    random_init(&s->random, seed ^ 0x5ced);
    random_init(&s->readers, seed ^ 0x4ead);
    cluster_init(&s->c, options->peers, seed);
    s->c.trace = trace;
    s->c.sabotage = options->sabotage;
    ret->has_passed = play(s, ret);
    memcpy(ret->failure, s->c.failure, sizeof(ret->failure));
    ret->ended_ms = s->c.timeline.now_ms;
    ret->digest = s->c.trace.digest;
    cluster_done(&s->c);
    free(s);
}
