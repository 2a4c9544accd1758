#include "tests/sim/machine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/agent_private.h"
#include "tests/sim/cluster.h"

enum {
    DEFER_MS = 20,        /* between looks at whether a frozen machine was thawed */
    BOOT_CLOCK_MS = 5000, /* what the monotonic clock shows at most when the daemon can start */
    PORT = 7300,
};

static const int64_t ppm = 1000000;

static struct timeline *timeline_of(const struct machine *machine)
{
    return &machine->cluster->timeline;
}

static int64_t local_of(const struct machine_clock *clock, int64_t true_ms)
{
    return clock->offset_ms + true_ms + true_ms * clock->drift_ppm / ppm;
}

/* The first true millisecond at which the clock shows `local_ms`. */
static int64_t true_of(const struct machine_clock *clock, int64_t local_ms)
{
    int64_t true_ms = (local_ms - clock->offset_ms) * ppm / (ppm + clock->drift_ppm) - 2;
    while (local_of(clock, true_ms) < local_ms)
        true_ms++;
    return true_ms;
}

int64_t machine_now_ms(const struct machine *machine)
{
    return local_of(&machine->clock, timeline_of(machine)->now_ms);
}

static void make_key(struct machine *machine)
{
    uint8_t seed[IDENTITY_SEED_BYTES];
    random_fill(&machine->random, seed, sizeof(seed));
    identity_done(&machine->identity);
    identity_init(&machine->identity, seed);
}

void machine_forget(struct machine *machine)
{
    if (machine->agent)
        machine_stop_daemon(machine);
    disk_forget(&machine->disk);
    invariants_forget(machine->cluster, machine);
    make_key(machine);
    containers_lose(machine);
    machine->phase = MACHINE_GONE;
}

void machine_init(struct machine *machine, struct cluster *cluster, unsigned number)
{
    *machine = (struct machine){.cluster = cluster, .number = number};
    snprintf(machine->name, sizeof(machine->name), "m%u", number);
    random_init(&machine->random, random_u64(&cluster->random));
    make_key(machine);
    machine->address = address_from_v4(0x0a000001 + number, PORT);
    disk_init(&machine->disk);
    containers_init(&machine->containers);
    agent_output_init(&machine->output);
}

void machine_done(struct machine *machine)
{
    machine_proposals_cancel(machine);
    machine_reads_forget(machine);
    agent_free(machine->agent);
    agent_compaction_free(machine->compaction);
    agent_output_done(&machine->output);
    containers_done(&machine->containers);
    disk_done(&machine->disk);
    identity_done(&machine->identity);
}

/* What is planned for one run of the daemon, and for no later one. */
struct moment_of_run {
    uint64_t epoch, version;
};

static void plan(struct machine *machine, int64_t at_ms, timeline_callback *callback,
                 uint64_t version)
{
    struct moment_of_run *moment = sim_allocate(sizeof(*moment));
    *moment = (struct moment_of_run){machine->epoch, version};
    timeline_at(timeline_of(machine), at_ms, callback, machine, moment);
}

bool machine_defer(struct machine *machine, timeline_callback *callback, void *payload)
{
    if (machine->is_frozen)
        timeline_at(timeline_of(machine), timeline_of(machine)->now_ms + DEFER_MS, callback,
                    machine, payload);
    return machine->is_frozen;
}

/* Takes the payload over. True if the run that it was planned for is there and not frozen. */
static bool is_due(struct machine *machine, timeline_callback *callback, void *payload,
                   uint64_t *ret_version)
{
    const struct moment_of_run *moment = payload;
    bool is_past = moment->epoch != machine->epoch || !machine->agent;
    if (!is_past && machine_defer(machine, callback, payload))
        return false;
    *ret_version = moment->version;
    free(payload);
    return !is_past;
}

static void on_deadline(void *context, void *payload)
{
    struct machine *machine = context;
    uint64_t version;
    if (is_due(machine, on_deadline, payload, &version) && version == machine->timer_version)
        machine_step(machine, &(struct agent_input){.type = AGENT_TICK});
}

static void on_wake(void *context, void *payload)
{
    struct machine *machine = context;
    uint64_t version;
    if (!is_due(machine, on_wake, payload, &version))
        return;
    machine->wakes = false;
    machine_step(machine, &(struct agent_input){.type = AGENT_TICK});
}

void machine_wake(struct machine *machine)
{
    if (machine->wakes || !machine->agent)
        return;
    machine->wakes = true;
    plan(machine, timeline_of(machine)->now_ms, on_wake, 0);
}

static void on_reconcile(void *context, void *payload)
{
    struct machine *machine = context;
    uint64_t version;
    if (!is_due(machine, on_reconcile, payload, &version))
        return;
    machine->reconciles = false;
    containers_reconcile(machine);
}

void machine_reconcile_soon(struct machine *machine)
{
    if (machine->reconciles || !machine->agent)
        return;
    machine->reconciles = true;
    plan(machine, timeline_of(machine)->now_ms, on_reconcile, 0);
}

void machine_reconcile_at(struct machine *machine, int64_t local_ms)
{
    plan(machine, true_of(&machine->clock, local_ms), on_reconcile, 0);
}

static void on_sequence(void *context, uint64_t sequence)
{
    struct machine *machine = context;
    if (machine->agent)
        machine_step(machine, &(struct agent_input){.type = AGENT_STORED, .sequence = sequence});
}

static void sync_disk(struct machine *machine);

static void on_synced(void *context, void *payload)
{
    struct machine *machine = context;
    uint64_t version;
    if (!is_due(machine, on_synced, payload, &version))
        return;
    disk_sync_end(&machine->disk, on_sequence, machine);
    sync_disk(machine);
}

static void sync_disk(struct machine *machine)
{
    if (!disk_sync_begin(&machine->disk))
        return;
    int64_t sync_ms =
        1 + (int64_t)random_below(&machine->random, (uint64_t)machine->cluster->sync_ms_max);
    plan(machine, timeline_of(machine)->now_ms + sync_ms, on_synced, 0);
}

static void write_seed(struct machine *machine, const struct id *id, bool is_known)
{
    const struct machine *other = cluster_machine_of(machine->cluster, id);
    if (!other)
        return; /* a key that has left */
    struct disk_batch *batch = disk_batch_new();
    batch->has_seed = true;
    batch->seed = other->number;
    batch->has_known = is_known;
    disk_write(&machine->disk, batch);
    sync_disk(machine);
}

static void send_one(struct machine *machine, const struct agent_send *send)
{
    if (id_is_none(&send->to))
        return;
    const struct machine *to = cluster_machine_of(machine->cluster, &send->to);
    bool has_address = !address_is_none(&send->address);
    if (!to)
        return;
    if (has_address)
        machine->knows[to->number] = true;
    if (!has_address && !machine->knows[to->number])
        return;
    struct bytes bytes = buffer_view(&send->bytes);
    struct network_message address = {.from = machine->number,
                                      .to = to->number,
                                      .from_id = machine->identity.id,
                                      .to_id = to->identity.id,
                                      .kind = send->kind};
    invariants_message_sent(machine->cluster, machine, to, send->kind, bytes);
    machine_count(&machine->sent, send->kind, bytes.size);
    network_send(&machine->cluster->network, &address, bytes);
}

static void carry_out_event(struct machine *machine, const struct agent_event *event)
{
    const struct machine *about = cluster_machine_of(machine->cluster, &event->id);
    trace_line(machine->cluster, "%s event type=%d about=%s liveness=%d", machine->name,
               (int)event->type, about ? about->name : "nobody", (int)event->liveness);
    switch (event->type) {
    case AGENT_MEMBER:
        if (event->liveness == VIEW_ALIVE)
            write_seed(machine, &event->id, true);
        break;
    case AGENT_SHUT_OUT:
        if (about)
            machine->knows[about->number] = false;
        write_seed(machine, &event->id, false);
        break;
    case AGENT_REMOVED:
        if (machine->is_leaving)
            break;
        machine->phase = MACHINE_GONE;
        machine_reconcile_soon(machine);
        break;
    case AGENT_FEED_BAD:
        machine->feed_refused++;
        if ((about && (int)about->number == machine->cluster->thief) || machine->cluster->is_torn)
            break;
        cluster_fail(machine->cluster, "%s refuses intent from %s: it is not what a voter signed",
                     machine->name, about ? about->name : "nobody");
        break;
    case AGENT_FEED_TOO_FAR:
        cluster_fail(machine->cluster, "%s can't follow the voters to the intent of %s",
                     machine->name, about ? about->name : "nobody");
        break;
    case AGENT_SNAPSHOT_BAD:
        cluster_fail(machine->cluster, "%s refuses a snapshot of %s", machine->name,
                     about ? about->name : "nobody");
        break;
    case AGENT_OUTRUN:
        cluster_fail(machine->cluster, "%s is outrun by its own generation", machine->name);
        break;
    case AGENT_NAMESAKES:
        cluster_fail(machine->cluster, "%s sees two peers of one name", machine->name);
        break;
    case AGENT_MENDED:
    case AGENT_EPOCH:
    case AGENT_LEADER:
    case AGENT_PONG:
    case AGENT_STANDS_IN:
    case AGENT_STOOD_IN:
    case AGENT_PATH:
    case AGENT_READDRESSED:
    case AGENT_MISPLACED:
    case AGENT_PLACED:
        break;
    }
}

static void on_compacted(void *context, void *payload)
{
    struct machine *machine = context;
    struct agent_input input = {.type = AGENT_COMPACTED, .compaction = machine->compaction};
    uint64_t version;
    if (!is_due(machine, on_compacted, payload, &version))
        return;
    machine->compaction = NULL;
    agent_compaction_run(input.compaction);
    machine_step(machine, &input);
}

static void compact(struct machine *machine)
{
    enum { COMPACT_MS_MAX = 300 };
    machine->compaction = machine->output.compaction;
    machine->output.compaction = NULL;
    plan(machine,
         timeline_of(machine)->now_ms + 1 + (int64_t)random_below(&machine->random, COMPACT_MS_MAX),
         on_compacted, 0);
}

static void store(struct machine *machine, struct agent_write *write)
{
    bool is_fed = write->fed_count > 0 || (write->intent.size > 0 && !write->has_snapshot);
    struct disk_batch *batch = disk_batch_of(write);
    if (is_fed)
        batch->fed_index = machine->agent->feed.stored.index;
    disk_write(&machine->disk, batch);
}

static void carry_out(struct machine *machine)
{
    struct agent_output *output = &machine->output;
    if (output->compaction)
        compact(machine);
    for (size_t i = 0; i < output->write_count; i++)
        store(machine, &output->writes[i]);
    sync_disk(machine);
    for (size_t i = 0; i < output->send_count; i++)
        send_one(machine, &output->sends[i]);
    for (size_t i = 0; i < output->event_count; i++)
        carry_out_event(machine, &output->events[i]);
    for (size_t i = 0; i < output->result_count; i++)
        if (!machine_read_decided(machine, &output->results[i]))
            machine_proposals_decided(machine, &output->results[i]);
    if (output->wanted_changed)
        machine_reconcile_soon(machine);
}

/* Breaks the rule that votes and acknowledgements wait for the disk. */
static uint64_t newest_sequence(const struct agent_output *output)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < output->write_count; i++)
        if (output->writes[i].sequence > newest)
            newest = output->writes[i].sequence;
    return newest;
}

static void set_deadline(struct machine *machine)
{
    int64_t deadline_ms = machine->output.next_deadline_ms;
    machine->timer_version++;
    if (deadline_ms == INT64_MAX)
        return;
    int64_t at_ms = true_of(&machine->clock, deadline_ms);
    int64_t now_ms = timeline_of(machine)->now_ms;
    plan(machine, at_ms > now_ms ? at_ms : now_ms + 1, on_deadline, machine->timer_version);
}

static void on_outdated(void *context, void *payload)
{
    struct machine *machine = context;
    uint64_t unused;
    if (is_due(machine, on_outdated, payload, &unused))
        machine_stop_daemon(machine);
}

/* It is a newer version's state: the daemon ends, and does nothing until it has. */
static void become_outdated(struct machine *machine)
{
    if (machine->level == 0)
        cluster_fail(machine->cluster, "%s stops: it knows the newest level", machine->name);
    machine->is_outdated = true;
    plan(machine, timeline_of(machine)->now_ms, on_outdated, 0);
}

static void step_once(struct machine *machine, struct agent_input *input)
{
    input->now_ms = machine_now_ms(machine);
    input->wall_ms = timeline_of(machine)->now_ms + machine->wall_offset_ms;
    machine->is_stepping = true;
    uint64_t start_ns = machine->cluster->times_steps ? machine_processor_ns() : 0;
    int rc = agent_step(machine->agent, input, &machine->output);
    if (machine->cluster->times_steps)
        machine->step_ns += machine_processor_ns() - start_ns;
    trace_step(machine->cluster, machine, input, rc);
    if (rc == -ENOMEM)
        cluster_fail(machine->cluster, "%s stops: its state can't be right any more",
                     machine->name);
    else if (rc == -ENOTRECOVERABLE)
        become_outdated(machine);
    else if (rc == -EBADMSG)
        cluster_fail(machine->cluster, "%s can't make sense of a message of kind %u", machine->name,
                     (unsigned)input->kind);
}

void machine_step(struct machine *machine, struct agent_input *input)
{
    assert(!machine->is_stepping && machine->agent);
    if (input->type == AGENT_MESSAGE || input->type == AGENT_STORED ||
        input->type == AGENT_PROPOSE_LOCAL) { /* as node/peer/ gathers them over a turn */
        input->more = true;
        machine_wake(machine);
    }
    if (machine->is_outdated)
        return;
    step_once(machine, input);
    if (machine->is_outdated) {
        machine->is_stepping = false;
        return;
    }
    uint64_t newest = newest_sequence(&machine->output);
    carry_out(machine);
    machine->is_stepping = false;
    invariants_after_step(machine->cluster, machine);
    set_deadline(machine);
    if (machine->cluster->sabotage == SABOTAGE_SEND_BEFORE_STORED && newest > 0)
        machine_step(machine, &(struct agent_input){.type = AGENT_STORED, .sequence = newest});
}

static void load_seeds(struct machine *machine)
{
    const bool *seeds = machine->disk.content.seeds;
    for (unsigned i = 0; i < machine->cluster->count; i++) {
        const struct machine *other = &machine->cluster->machines[i];
        if (!seeds[i] || other == machine)
            continue;
        agent_add_seed(machine->agent, &other->identity.id, &other->address);
        machine->knows[i] = true;
    }
}

static void end_run(struct machine *machine);

static void start_member(struct machine *machine)
{
    struct agent_stored stored;
    struct disk_content *content = &machine->disk.content;
    struct agent_config config = {
        .identity = &machine->identity,
        .chain = &content->chain,
        .cluster = content->chain.certificates[0].cluster,
        .advertised = machine->address,
        .generation = content->generation,
        .seed = random_u64(&machine->random),
        .swim = swim_config_lan(),
        .pool = machine->cluster->pool,
        .voter_replace_after_ms = SIM_VOTER_REPLACE_MS,
        .voter_settle_ms = SIM_VOTER_SETTLE_MS,
        .voter_move_ms = SIM_VOTER_MOVE_MS,
        .compact_after_entries = SIM_COMPACT_ENTRIES,
        .level = machine->level,
        .clock_drift_permille = machine->cluster->clock_drift_permille,
    };
    snprintf(config.name, sizeof(config.name), "%s", machine->name);
    if (machine->cluster->forget_dead_ms > 0)
        config.swim.forget_dead_ms = machine->cluster->forget_dead_ms;
    disk_load(&machine->disk, &stored);
    int rc = agent_new(&config, &stored, machine_now_ms(machine), &machine->agent);
    if (rc == -EPROTONOSUPPORT && machine->level > 0) {
        machine->is_outdated = true;
        end_run(machine);
        return;
    }
    if (rc < 0) {
        cluster_fail(machine->cluster, "%s can't start from its disk: %s", machine->name,
                     strerror(-rc));
        machine->agent = NULL;
        return;
    }
    machine->phase = MACHINE_MEMBER;
    load_seeds(machine);
    struct view_capacity capacity = {
        .cpu_millis = 8000, .memory_bytes = (uint64_t)8 << 30, .version = "sim"};
    if (machine->zone[0] != '\0')
        snprintf(capacity.labels, sizeof(capacity.labels), "zone=%s", machine->zone);
    agent_publish_capacity(machine->agent, machine_now_ms(machine), &capacity);
    invariants_started(machine->cluster, machine);
    containers_adopt(machine);
    machine_reconcile_soon(machine);
    machine_step(machine, &(struct agent_input){.type = AGENT_TICK});
}

void machine_start_daemon(struct machine *machine)
{
    if (machine->power != MACHINE_DOWN)
        return;
    machine->power = MACHINE_UP;
    machine->epoch++;
    machine->timer_version = 0;
    machine->wakes = false;
    machine->reconciles = false;
    machine->is_leaving = false;
    machine->is_outdated = false;
    memset(machine->knows, 0, sizeof(machine->knows));
    machine->disk.content.generation++;
    machine->phase = MACHINE_ALONE;
    trace_line(machine->cluster, "%s starts, generation=%u", machine->name,
               machine->disk.content.generation);
    if (machine->disk.content.chain.count > 0)
        start_member(machine);
    else if (machine->shall_be_member)
        machine_join(machine);
}

void machine_boot(struct machine *machine)
{
    struct cluster *cluster = machine->cluster;
    if (machine->power != MACHINE_OFF)
        return;
    machine->power = MACHINE_DOWN;
    int64_t shows_ms = 1 + (int64_t)random_below(&machine->random, BOOT_CLOCK_MS);
    int64_t most_ppm = cluster->drift_ppm_max;
    int64_t drift = (int64_t)random_below(&machine->random, (uint64_t)(2 * most_ppm + 1));
    machine->clock = (struct machine_clock){.drift_ppm = (int32_t)(drift - most_ppm)};
    machine->clock.offset_ms = shows_ms - local_of(&machine->clock, timeline_of(machine)->now_ms);
    machine->wall_offset_ms =
        cluster->wall_skew_ms_max == 0
            ? SIM_WALL_START_MS
            : SIM_WALL_START_MS +
                  (int64_t)random_below(&machine->random, (uint64_t)cluster->wall_skew_ms_max);
    machine_start_daemon(machine);
}

static void end_run(struct machine *machine)
{
    machine->power = MACHINE_DOWN;
    machine->is_frozen = false;
    machine->epoch++;
    agent_free(machine->agent);
    machine->agent = NULL;
    agent_compaction_free(machine->compaction);
    machine->compaction = NULL;
    machine_proposals_cancel(machine);
    machine_reads_forget(machine);
    containers_orphan(machine);
}

void machine_kill_daemon(struct machine *machine)
{
    if (machine->power != MACHINE_UP)
        return;
    trace_line(machine->cluster, "%s: its daemon is killed", machine->name);
    disk_crash(&machine->disk, random_chance(&machine->random, 1, 2));
    if (machine->cluster->sabotage == SABOTAGE_LOSE_SYNCED)
        disk_lose_tail(&machine->disk);
    if (machine->cluster->sabotage == SABOTAGE_FORGET_FED)
        disk_lose_fed(&machine->disk);
    end_run(machine);
}

static void ignore_sequence(void *context, uint64_t sequence)
{
    (void)context;
    (void)sequence;
}

void machine_stop_daemon(struct machine *machine)
{
    trace_line(machine->cluster, "%s: its daemon ends", machine->name);
    do
        disk_sync_end(&machine->disk, ignore_sequence, NULL);
    while (disk_sync_begin(&machine->disk));
    end_run(machine);
}

void machine_power_off(struct machine *machine)
{
    if (machine->power == MACHINE_OFF)
        return;
    machine_kill_daemon(machine);
    trace_line(machine->cluster, "%s loses its power", machine->name);
    machine->power = MACHINE_OFF;
    machine->is_frozen = false;
    containers_lose(machine);
}

void machine_freeze(struct machine *machine)
{
    if (machine->power != MACHINE_UP)
        return;
    trace_line(machine->cluster, "%s freezes", machine->name);
    machine->is_frozen = true;
}

/* Its daemon runs before its containers count again: what it stops now could not be stopped before,
 * by anyone. */
void machine_thaw(struct machine *machine)
{
    if (!machine->is_frozen)
        return;
    trace_line(machine->cluster, "%s thaws", machine->name);
    machine->is_frozen = false;
    if (!machine->agent)
        return;
    machine_step(machine, &(struct agent_input){.type = AGENT_TICK});
    containers_reconcile(machine);
    for (size_t i = 0; i < machine->containers.table.count; i++) {
        struct container *container = machine->containers.table.items[i];
        if (container->phase == CONTAINER_STOPPING)
            container->is_excused = true;
        else if (container->is_alive)
            invariants_container_runs(machine->cluster, machine, container);
    }
}
