#include "tests/unit/node/control/agent_bench.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/consensus/failing_memory.h"

enum {
    WALL_START_MS = 1000000,
    ROOT_NUMBER = 200, /* the seed of the root's key; peers have 1, 2, … */
    STEPS_MAX = 100000,
};

static struct address address_of(unsigned peer)
{
    return address_from_v4(0x0a000001 + peer, 7300);
}

static unsigned number_of(const struct fleet *f, const struct id *id, const struct address *address)
{
    for (unsigned i = 0; i < f->peer_count; i++) {
        struct address its = address_of(i);
        if (id_equal(&f->peers[i].identity.id, id) ||
            (id_is_none(id) && address_equal(&its, address)))
            return i;
    }
    return FLEET_PEERS_MAX;
}

/* The disk */

static void forget_entries(struct fleet_disk *disk, size_t kept)
{
    while (disk->entry_count > kept)
        free((void *)disk->entries[--disk->entry_count].data.data);
}

static void store_snapshot(struct fleet_disk *disk, const struct agent_write *write)
{
    disk->has_snapshot = true;
    disk->snapshot = write->snapshot;
    buffer_clear(&disk->snapshot_data);
    assert_int_equal(
        buffer_append(&disk->snapshot_data, write->snapshot.data.data, write->snapshot.data.size),
        0);
    if (!write->keeps_log) {
        forget_entries(disk, 0);
        disk->log_index = write->snapshot.index;
        disk->log_term = write->snapshot.term;
        return;
    }
    size_t cut = (size_t)(write->log_index - disk->log_index);
    assert_true(cut <= disk->entry_count);
    for (size_t i = 0; i < cut; i++)
        free((void *)disk->entries[i].data.data);
    disk->entry_count -= cut;
    memmove(disk->entries, disk->entries + cut, disk->entry_count * sizeof(*disk->entries));
    disk->log_index = write->log_index;
    disk->log_term = write->log_term;
}

static void store_entry(struct fleet_disk *disk, const struct raft_entry *entry)
{
    assert_int_equal(entry->index, disk->log_index + disk->entry_count + 1);
    disk->entries = realloc(disk->entries, (disk->entry_count + 1) * sizeof(*entry));
    uint8_t *data = malloc(entry->data.size + 1);
    assert_true(disk->entries && data);
    if (entry->data.size > 0)
        memcpy(data, entry->data.data, entry->data.size);
    disk->entries[disk->entry_count] = *entry;
    disk->entries[disk->entry_count++].data.data = data;
}

static void forget_fed(struct fleet_disk *disk)
{
    while (disk->fed_count > 0)
        free((void *)disk->fed[--disk->fed_count].data.data);
}

static void store_fed(struct fleet_disk *disk, const struct raft_entry *entry)
{
    assert_true(disk->fed_count == 0 || entry->index == disk->fed[disk->fed_count - 1].index + 1);
    disk->fed = realloc(disk->fed, (disk->fed_count + 1) * sizeof(*entry));
    uint8_t *data = malloc(entry->data.size + 1);
    assert_true(disk->fed && data);
    if (entry->data.size > 0)
        memcpy(data, entry->data.data, entry->data.size);
    disk->fed[disk->fed_count] = *entry;
    disk->fed[disk->fed_count++].data.data = data;
    disk->fed_bytes += entry->data.size;
}

static void store(struct fleet_disk *disk, const struct agent_write *write)
{
    if (write->hard_state_changed)
        disk->hard_state = write->hard_state;
    if (write->has_snapshot) {
        store_snapshot(disk, write);
    } else if (write->intent.size > 0) {
        buffer_clear(&disk->intent);
        assert_int_equal(buffer_append(&disk->intent, write->intent.bytes, write->intent.size), 0);
        disk->fed_bytes += write->intent.size;
        disk->wholes++;
        forget_fed(disk);
    }
    if (write->drops_fed)
        forget_fed(disk);
    for (size_t i = 0; i < write->fed_count; i++)
        store_fed(disk, &write->fed[i]);
    if (write->truncate_from > 0)
        forget_entries(disk, (size_t)(write->truncate_from - disk->log_index - 1));
    for (size_t i = 0; i < write->entry_count; i++)
        store_entry(disk, &write->entries[i]);
}

static void disk_done(struct fleet_disk *disk)
{
    forget_entries(disk, 0);
    forget_fed(disk);
    free(disk->entries);
    free(disk->fed);
    buffer_done(&disk->snapshot_data);
    buffer_done(&disk->intent);
}

/* What comes out of a step */

static void queue(struct fleet *f, unsigned from, struct agent_send *send)
{
    struct fleet_peer *peer = &f->peers[from];
    unsigned to = number_of(f, &send->to, &send->address);
    peer->sent[send->kind]++;
    buffer_clear(&peer->last_sent[send->kind]);
    buffer_append(&peer->last_sent[send->kind], send->bytes.bytes, send->bytes.size);
    if (to == FLEET_PEERS_MAX || (f->lost_kinds >> send->kind & 1))
        return;
    struct fleet_message *messages =
        realloc(f->messages, (f->message_count + 1) * sizeof(*messages));
    assert_non_null(messages);
    f->messages = messages;
    messages[f->message_count++] = (struct fleet_message){.due_ms = f->now_ms + FLEET_DELAY_MS,
                                                          .from = from,
                                                          .to = to,
                                                          .kind = send->kind,
                                                          .bytes = send->bytes};
    buffer_init(&send->bytes);
}

static void keep_results(struct fleet_peer *peer, const struct agent_output *output)
{
    size_t count = peer->result_count + output->result_count;
    if (output->result_count == 0)
        return;
    peer->results = realloc(peer->results, count * sizeof(*peer->results));
    assert_non_null(peer->results);
    memcpy(peer->results + peer->result_count, output->results,
           output->result_count * sizeof(*peer->results));
    peer->result_count = count;
}

static uint64_t carry_out(struct fleet *f, unsigned number)
{
    struct fleet_peer *peer = &f->peers[number];
    struct agent_output *output = &peer->output;
    uint64_t stored = 0;
    for (size_t i = 0; i < output->write_count; i++) {
        store(&peer->disk, &output->writes[i]);
        if (peer->on_write)
            peer->on_write(peer->on_write_context, &output->writes[i]);
        if (output->writes[i].sequence > 0)
            stored = output->writes[i].sequence;
    }
    if (output->compaction) {
        assert_null(peer->compaction);
        peer->compaction = output->compaction;
        output->compaction = NULL;
    }
    for (size_t i = 0; i < output->send_count; i++)
        queue(f, number, &output->sends[i]);
    keep_results(peer, output);
    for (size_t i = 0; i < output->event_count; i++) {
        peer->events[output->events[i].type]++;
        peer->last_event[output->events[i].type] = output->events[i];
    }
    peer->wanted_changes += output->wanted_changed;
    return stored;
}

/* A peer that runs out of memory is taken down, as the daemon stops. */
static int step_once(struct fleet *f, unsigned number, struct agent_input input)
{
    struct fleet_peer *peer = &f->peers[number];
    assert_non_null(peer->agent);
    input.now_ms = f->now_ms;
    input.wall_ms = WALL_START_MS + f->now_ms;
    memory_fail_after(f->memory_left);
    int rc = agent_step(peer->agent, &input, &peer->output);
    f->memory_left = memory_pause();
    if (rc == -ENOMEM)
        fleet_kill(f, number);
    return rc;
}

int fleet_step(struct fleet *f, unsigned number, struct agent_input input)
{
    int rc = step_once(f, number, input);
    if (rc == -ENOMEM)
        return rc;
    for (uint64_t stored; (stored = carry_out(f, number)) > 0;) {
        struct agent_input done = {.type = AGENT_STORED, .sequence = stored};
        if (f->peers[number].is_mute) {
            f->peers[number].untold = stored;
            break;
        }
        if (step_once(f, number, done) == -ENOMEM)
            return -ENOMEM;
    }
    if (!f->peers[number].is_slow)
        fleet_compact(f, number);
    return rc;
}

void fleet_compact(struct fleet *f, unsigned number)
{
    struct fleet_peer *peer = &f->peers[number];
    struct agent_input done = {.type = AGENT_COMPACTED, .compaction = peer->compaction};
    peer->compaction = NULL;
    if (!done.compaction)
        return;
    agent_compaction_run(done.compaction);
    fleet_step(f, number, done);
}

int fleet_give(struct fleet *f, unsigned peer, unsigned from, uint8_t kind, struct bytes bytes)
{
    return fleet_step(f, peer,
                      (struct agent_input){.type = AGENT_MESSAGE,
                                           .from = f->peers[from].identity.id,
                                           .kind = kind,
                                           .bytes = bytes});
}

/* Time */

static void deliver(struct fleet *f, struct fleet_message message)
{
    struct fleet_peer *from = &f->peers[message.from], *to = &f->peers[message.to];
    bool arrives = to->agent && !to->is_cut && !from->is_cut;
    struct agent_input input = {.type = message.kind ? AGENT_MESSAGE : AGENT_PACKET,
                                .from = from->identity.id,
                                .source = address_of(message.from),
                                .kind = message.kind,
                                .bytes = buffer_view(&message.bytes)};
    if (arrives)
        fleet_step(f, message.to, input);
    else if (message.kind && from->agent)
        fleet_step(f, message.from,
                   (struct agent_input){.type = AGENT_UNREACHED, .from = to->identity.id});
    buffer_done(&message.bytes);
}

static int64_t next_due(const struct fleet *f)
{
    int64_t due_ms = f->message_count > 0 ? f->messages[0].due_ms : INT64_MAX;
    for (unsigned i = 0; i < f->peer_count; i++)
        if (f->peers[i].agent && f->peers[i].output.next_deadline_ms < due_ms)
            due_ms = f->peers[i].output.next_deadline_ms;
    return due_ms > f->now_ms ? due_ms : f->now_ms;
}

static void do_what_is_due(struct fleet *f)
{
    while (f->message_count > 0 && f->messages[0].due_ms <= f->now_ms) {
        struct fleet_message message = f->messages[0];
        f->message_count--;
        memmove(f->messages, f->messages + 1, f->message_count * sizeof(message));
        deliver(f, message);
    }
    for (unsigned i = 0; i < f->peer_count; i++)
        if (f->peers[i].agent && f->peers[i].output.next_deadline_ms <= f->now_ms)
            fleet_step(f, i, (struct agent_input){.type = AGENT_TICK});
}

void fleet_run(struct fleet *f, int64_t ms)
{
    int64_t until_ms = f->now_ms + ms;
    unsigned steps = 0;
    for (int64_t due_ms; (due_ms = next_due(f)) <= until_ms;) {
        assert_true(steps++ < STEPS_MAX); /* else somebody's deadline never moves on */
        f->now_ms = due_ms;
        do_what_is_due(f);
    }
    f->now_ms = until_ms;
}

void fleet_wait(struct fleet *f, bool (*holds)(const struct fleet *f))
{
    enum { WAIT_MS = 60000, LOOK_MS = 20 };
    for (int64_t end_ms = f->now_ms + WAIT_MS; !holds(f);) {
        assert_true(f->now_ms < end_ms);
        fleet_run(f, LOOK_MS);
    }
}

/* Peers */

/* As peer_store_load() gives what is damaged. */
static void spoil(struct fleet_peer *peer, struct agent_stored *stored)
{
    size_t lost = (size_t)(peer->lost_through - stored->raft.log_index);
    if (peer->lost_through == 0)
        return;
    assert_in_range(lost, 0, stored->raft.entry_count);
    stored->lost_through = peer->lost_through;
    stored->intent_is_old = true;
    stored->raft.entries += lost;
    stored->raft.entry_count -= lost;
    if (peer->lost_snapshot)
        stored->raft.snapshot = NULL;
    peer->lost_through = 0;
    peer->lost_snapshot = false;
}

static void boot(struct fleet *f, unsigned number)
{
    struct fleet_peer *peer = &f->peers[number];
    struct fleet_disk *disk = &peer->disk;
    struct agent_config config = {
        .identity = &peer->identity,
        .chain = &peer->chain,
        .cluster = f->root.id,
        .advertised = address_of(number),
        .generation = ++peer->generation,
        .seed = 1000 * number + peer->generation,
        .swim = swim_config_lan(),
        .election_timeout_ms = FLEET_ELECTION_MS,
        .heartbeat_ms = FLEET_ELECTION_MS / 3,
        .lease_ms = FLEET_LEASE_MS,
        .voter_replace_after_ms = FLEET_VOTER_REPLACE_MS,
        .compact_after_entries = f->compact_after_entries,
        .compact_after_bytes = f->compact_after_bytes,
        .voters_max = f->voters_max,
        .clock_drift_permille = f->clock_drift_permille,
    };
    snprintf(config.name, sizeof(config.name), "p%u", number);
    disk->snapshot.data = buffer_view(&disk->snapshot_data);
    struct agent_stored stored = {.raft = {.hard_state = disk->hard_state,
                                           .snapshot = disk->has_snapshot ? &disk->snapshot : NULL,
                                           .log_index = disk->log_index,
                                           .log_term = disk->log_term,
                                           .entries = disk->entries,
                                           .entry_count = disk->entry_count},
                                  .intent = buffer_view(&disk->intent),
                                  .fed = disk->fed,
                                  .fed_count = disk->fed_count};
    spoil(peer, &stored);
    if (peer->stored)
        stored = *peer->stored;
    peer->stored = NULL;
    stored.intent_is_old |= peer->intent_is_old;
    peer->intent_is_old = false;
    assert_int_equal(agent_new(&config, &stored, f->now_ms, &peer->agent), 0);
    peer->is_mute = false;
    peer->untold = 0;
    if (number > 0) {
        struct address seed = address_of(0);
        assert_int_equal(agent_add_seed(peer->agent, &f->peers[0].identity.id, &seed), 0);
    }
    struct view_capacity capacity = {.cpu_millis = 4000, .memory_bytes = (uint64_t)4 << 30};
    snprintf(capacity.labels, sizeof(capacity.labels), "number=%u", number);
    assert_int_equal(agent_publish_capacity(peer->agent, f->now_ms, &capacity), 0);
    peer->output.next_deadline_ms = f->now_ms;
}

void fleet_restart(struct fleet *f, unsigned number)
{
    assert_null(f->peers[number].agent);
    boot(f, number);
}

void fleet_kill(struct fleet *f, unsigned number)
{
    struct fleet_peer *peer = &f->peers[number];
    agent_free(peer->agent);
    peer->agent = NULL;
    agent_compaction_free(peer->compaction);
    peer->compaction = NULL;
    agent_output_done(&peer->output);
}

void fleet_cut(struct fleet *f, unsigned number, bool is_cut)
{
    f->peers[number].is_cut = is_cut;
}

void fleet_mute(struct fleet *f, unsigned number, bool is_mute)
{
    struct fleet_peer *peer = &f->peers[number];
    struct agent_input told = {.type = AGENT_STORED, .sequence = peer->untold};
    peer->is_mute = is_mute;
    peer->untold = 0;
    if (!is_mute && told.sequence > 0)
        fleet_step(f, number, told);
}

void fleet_found(struct fleet *f, uint32_t voters_max)
{
    *f = (struct fleet){.voters_max = voters_max,
                        .compact_after_entries = FLEET_COMPACT_ENTRIES,
                        .now_ms = 1000,
                        .memory_left = -1,
                        .peer_count = 1};
    party_identity(&f->root, ROOT_NUMBER);
    struct party first;
    party_init(&first, 1, "p0", ROLE_PEER, &f->root);
    struct fleet_peer *peer = &f->peers[0];
    peer->identity = first.identity;
    peer->chain = first.chain;
    peer->disk.has_snapshot = true;
    assert_int_equal(agent_bootstrap(&f->root.id, &first.identity.id, "p0", 0, WALL_START_MS,
                                     &peer->disk.snapshot_data, &peer->disk.snapshot),
                     0);
    peer->disk.log_index = peer->disk.snapshot.index;
    peer->disk.log_term = peer->disk.snapshot.term;
}

static bool first_leads(const struct fleet *f)
{
    return fleet_status(f, 0).role == RAFT_LEADER;
}

void fleet_join(struct fleet *f)
{
    unsigned number = f->peer_count;
    struct fleet_peer *peer = &f->peers[number];
    struct command command = fleet_admission(number);
    assert_true(number < FLEET_PEERS_MAX);
    party_identity(&peer->identity, (uint8_t)(number + 1));
    struct agent_result admitted = fleet_agree(f, 0, &command);
    peer->chain = admitted.chain;
    assert_int_equal(certificate_chain_verify(&peer->chain, &f->root.id), CERTIFICATE_GOOD);
    assert_int_equal(intent_write(agent_intent(f->peers[0].agent), &peer->disk.intent), 0);
    f->peer_count++;
    boot(f, number);
}

static bool all_are_calm(const struct fleet *f)
{
    size_t active = f->peer_count % 2 ? f->peer_count : f->peer_count - 1;
    size_t voters = active < f->voters_max ? active : f->voters_max;
    for (unsigned i = 0; i < f->peer_count; i++) {
        struct agent_status status = fleet_status(f, i);
        if (status.live_count != f->peer_count || status.voter_count != voters ||
            !status.leader_is_alive || status.applied_index != fleet_status(f, 0).applied_index)
            return false;
    }
    return true;
}

void fleet_start(struct fleet *f, unsigned peer_count, uint32_t voters_max)
{
    fleet_found(f, voters_max);
    boot(f, 0);
    fleet_wait(f, first_leads);
    while (f->peer_count < peer_count) {
        fleet_join(f);
        if (f->peer_count == voters_max) /* the first ones vote, whatever the later ones promise */
            fleet_wait(f, all_are_calm);
    }
    fleet_wait(f, all_are_calm);
}

void fleet_done(struct fleet *f)
{
    for (unsigned i = 0; i < f->peer_count; i++) {
        struct fleet_peer *peer = &f->peers[i];
        fleet_kill(f, i);
        disk_done(&peer->disk);
        free(peer->results);
        for (unsigned kind = 0; kind < FLEET_KINDS; kind++)
            buffer_done(&peer->last_sent[kind]);
    }
    for (size_t i = 0; i < f->message_count; i++)
        buffer_done(&f->messages[i].bytes);
    free(f->messages);
}

/* Commands */

struct command fleet_command(enum command_type type)
{
    return (struct command){.head = {.type = type, .wall_ms = WALL_START_MS, .actor = "ann"}};
}

struct command fleet_admission(unsigned number)
{
    struct command command = fleet_command(COMMAND_ADMIT);
    struct identity identity;
    party_identity(&identity, (uint8_t)(number + 1));
    command.admit.id = identity.id;
    command.admit.role = INTENT_PEER;
    snprintf(command.admit.name, sizeof(command.admit.name), "p%u", number);
    return command;
}

uint64_t fleet_propose(struct fleet *f, unsigned peer, const struct command *command)
{
    cleanup_buffer struct buffer bytes = {0};
    uint64_t request = ++f->next_request;
    assert_int_equal(command_encode(command, &bytes), 0);
    fleet_step(f, peer,
               (struct agent_input){
                   .type = AGENT_PROPOSE_LOCAL, .request = request, .bytes = buffer_view(&bytes)});
    return request;
}

uint64_t fleet_read(struct fleet *f, unsigned peer)
{
    uint64_t request = ++f->next_request;
    fleet_step(f, peer, (struct agent_input){.type = AGENT_READ_LOCAL, .request = request});
    return request;
}

struct agent_result fleet_agree(struct fleet *f, unsigned peer, const struct command *command)
{
    uint64_t request = fleet_propose(f, peer, command);
    for (int tries = 0; tries < 1000 && !fleet_result(f, peer, request); tries++)
        fleet_run(f, 10);
    const struct agent_result *result = fleet_result(f, peer, request);
    assert_non_null(result);
    assert_int_equal(result->result.code, 0);
    return *result;
}

void fleet_deploy(struct fleet *f, unsigned peer, struct service_spec *spec)
{
    struct command command = fleet_command(COMMAND_DEPLOY);
    strcpy(command.deploy.stack, "s");
    command.deploy.services = spec;
    command.deploy.service_count = 1;
    fleet_agree(f, peer, &command);
    service_spec_done(spec);
}

/* What is seen */

const struct agent_result *fleet_result(const struct fleet *f, unsigned peer, uint64_t request)
{
    for (size_t i = 0; i < f->peers[peer].result_count; i++)
        if (f->peers[peer].results[i].request == request)
            return &f->peers[peer].results[i];
    return NULL;
}

size_t fleet_result_count(const struct fleet *f, unsigned peer, uint64_t request)
{
    size_t count = 0;
    for (size_t i = 0; i < f->peers[peer].result_count; i++)
        count += f->peers[peer].results[i].request == request;
    return count;
}

struct id fleet_id(const struct fleet *f, unsigned peer)
{
    return f->peers[peer].identity.id;
}

struct agent_status fleet_status(const struct fleet *f, unsigned peer)
{
    struct agent_status status;
    agent_status(f->peers[peer].agent, &status);
    return status;
}

bool fleet_is_led(const struct fleet *f)
{
    for (unsigned i = 0; i < f->peer_count; i++)
        if (f->peers[i].agent && fleet_status(f, i).role == RAFT_LEADER)
            return true;
    return false;
}

unsigned fleet_leader(const struct fleet *f)
{
    for (unsigned i = 0; i < f->peer_count; i++)
        if (f->peers[i].agent && !f->peers[i].is_cut && fleet_status(f, i).role == RAFT_LEADER)
            return i;
    fail_msg("nobody leads");
    return 0;
}

static void count_wanted(void *context, const struct agent_wanted *wanted)
{
    (void)wanted;
    ++*(size_t *)context;
}

size_t fleet_wanted(const struct fleet *f, unsigned peer)
{
    size_t count = 0;
    agent_wanted(f->peers[peer].agent, f->now_ms, count_wanted, &count);
    return count;
}
