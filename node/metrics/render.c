/* Prometheus' text format, version 0.0.4: each metric with its HELP and TYPE, then its values. */
#include <inttypes.h>

#include "base/cleanup.h"
#include "node/metrics/metrics.h"

#include <errno.h>

struct render {
    struct buffer *ret;
    const char *name;
    bool has_failed;
};

static const char gauge[] = "gauge", counter[] = "counter", histogram[] = "histogram";

const uint32_t metrics_lag_bounds_ms[LAG_BUCKETS] = {1, 5, 10, 25, 50, 100, 500, 1000};

void metrics_lag_add(struct metrics_lag *lag, int64_t late_ms)
{
    uint64_t late = late_ms < 0 ? 0 : (uint64_t)late_ms;
    for (size_t i = 0; i < LAG_BUCKETS; i++) {
        if (late <= metrics_lag_bounds_ms[i]) {
            lag->counts[i]++;
            break;
        }
    }
    lag->count++;
    lag->sum_ms += late;
}

/* --- The format --- */

static void begin(struct render *render, const char *name, const char *type, const char *help)
{
    render->name = name;
    if (buffer_printf(render->ret, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type) < 0)
        render->has_failed = true;
}

static void value(struct render *render, uint64_t number)
{
    if (buffer_printf(render->ret, "%s %" PRIu64 "\n", render->name, number) < 0)
        render->has_failed = true;
}

static void labelled(struct render *render, const char *label, const char *word, uint64_t number)
{
    if (buffer_printf(render->ret, "%s{%s=\"%s\"} %" PRIu64 "\n", render->name, label, word,
                      number) < 0)
        render->has_failed = true;
}

static void fraction(struct render *render, const char *suffix, double number)
{
    if (buffer_printf(render->ret, "%s%s %.6f\n", render->name, suffix, number) < 0)
        render->has_failed = true;
}

static void single(struct render *render, const char *name, const char *type, const char *help,
                   uint64_t number)
{
    begin(render, name, type, help);
    value(render, number);
}

static void both_ways(struct render *render, const char *name, const char *help, uint64_t sent,
                      uint64_t received)
{
    begin(render, name, counter, help);
    labelled(render, "direction", "sent", sent);
    labelled(render, "direction", "received", received);
}

/* Buckets are summed up here, as the format has them. `unit` is how many of the bounds' units make
 * a second. */
static void buckets(struct render *render, const uint32_t *bounds, const uint64_t *counts,
                    size_t bucket_count, uint64_t count, uint64_t sum, double unit)
{
    uint64_t below = 0;
    for (size_t i = 0; i < bucket_count; i++) {
        below += counts[i];
        if (buffer_printf(render->ret, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", render->name,
                          bounds[i] / unit, below) < 0)
            render->has_failed = true;
    }
    if (buffer_printf(render->ret, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_count %" PRIu64 "\n",
                      render->name, count, render->name, count) < 0)
        render->has_failed = true;
    fraction(render, "_sum", (double)sum / unit);
}

/* --- What there is --- */

static void render_process(struct render *render, const struct metrics *metrics)
{
    begin(render, "consort_build_info", gauge, "1; the version is its label.");
    labelled(render, "version", CONSORT_VERSION, 1);
    single(render, "consort_member", gauge, "1 if this peer is in a cluster, else 0.",
           metrics->is_member);
    single(render, "consort_process_resident_memory_bytes", gauge, "Resident memory of the daemon.",
           metrics->memory_bytes);
    begin(render, "consort_process_cpu_seconds_total", counter, "CPU time that the daemon took.");
    fraction(render, "", (double)metrics->cpu_us / 1e6);
    begin(render, "consort_process_start_time_seconds", gauge,
          "When the daemon started, in seconds since 1970.");
    fraction(render, "", metrics->start_seconds);
    begin(render, "consort_loop_lag_seconds", histogram,
          "How late the event loop came to what was due.");
    buckets(render, metrics_lag_bounds_ms, metrics->lag.counts, LAG_BUCKETS, metrics->lag.count,
            metrics->lag.sum_ms, 1e3);
    single(render, "consort_store_commits_total", counter,
           "Commits that were made durable, each of one write or more.", metrics->store_commits);
}

static void render_probes(struct render *render, const struct swim_counters *swim)
{
    single(render, "consort_gossip_probes_total", counter, "Probes of other members.",
           swim->probes_sent);
    single(render, "consort_gossip_probes_indirect_total", counter,
           "Probes for which helpers were asked, since no answer came in time.",
           swim->probes_indirect);
    single(render, "consort_gossip_probes_failed_total", counter,
           "Probes that nobody answered: each accuses its target.", swim->probes_failed);
    single(render, "consort_gossip_relays_total", counter, "Probes made on behalf of others.",
           swim->relays_taken);
    single(render, "consort_gossip_relays_refused_total", counter,
           "Probes that others asked for, beyond what one or all may ask.", swim->relays_refused);
    both_ways(render, "consort_gossip_acks_total", "Answers to probes.", swim->acks_sent,
              swim->acks_received);
    both_ways(render, "consort_gossip_nacks_total", "Helpers' words that a target does not answer.",
              swim->nacks_sent, swim->nacks_received);
    single(render, "consort_gossip_pings_total", counter, "Pings that operators asked for.",
           swim->pings_sent);
    single(render, "consort_gossip_pings_lost_total", counter, "Those that were not answered.",
           swim->pings_lost);
    begin(render, "consort_gossip_rtt_seconds", histogram,
          "Round trips of direct probes and pings.");
    buckets(render, swim_rtt_bounds_us, swim->rtt_counts, SWIM_RTT_BUCKETS, swim->rtt_count,
            swim->rtt_sum_us, 1e6);
}

static void by_path(struct render *render, const char *name, const char *type, const char *help,
                    const uint64_t numbers[SWIM_PATHS])
{
    static const char *const words[] = {[SWIM_PATH_DIRECT] = "direct",
                                        [SWIM_PATH_LEARNT] = "learnt",
                                        [SWIM_PATH_HELPER] = "helper",
                                        [SWIM_PATH_STREAM] = "stream"};
    _Static_assert(array_count(words) == SWIM_PATHS, "each path has a word");
    begin(render, name, type, help);
    for (size_t i = 0; i < SWIM_PATHS; i++)
        labelled(render, "path", words[i], numbers[i]);
}

static void render_paths(struct render *render, const struct swim_counters *swim)
{
    uint64_t now[SWIM_PATHS];
    for (size_t i = 0; i < SWIM_PATHS; i++)
        now[i] = swim->paths[i];
    by_path(render, "consort_gossip_paths", gauge,
            "Other live members by how this peer reaches them.", now);
    by_path(render, "consort_gossip_answers_total", counter,
            "Probes by the way on which their first answer came.", swim->answers);
    single(render, "consort_gossip_path_changes_total", counter,
           "Times that the way to a member changed.", swim->path_changes);
    single(render, "consort_gossip_keepalives_total", counter,
           "Probes made to keep a way through NAT to this peer open.", swim->keepalives);
    single(render, "consort_gossip_misplaced", gauge,
           "1 if no peer reaches this one where it advertises, else 0.", swim->is_misplaced);
}

static void render_profile(struct render *render, const struct metrics *metrics)
{
    begin(render, "consort_gossip_profile", gauge, "1 for the profile that is in force.");
    for (int profile = INTENT_PROFILE_LAN; profile <= INTENT_PROFILE_EDGE; profile++)
        labelled(render, "profile", intent_profile_text((uint8_t)profile),
                 metrics->profile == profile);
    begin(render, "consort_gossip_probe_interval_seconds", gauge,
          "The time between two rounds of probes, while this peer is well.");
    fraction(render, "", metrics->probe_interval_ms / 1e3);
}

static void render_membership(struct render *render, const struct swim_counters *swim)
{
    begin(render, "consort_gossip_members", gauge,
          "Members as this peer sees them, itself included, by state.");
    labelled(render, "state", "alive", swim->alive);
    labelled(render, "state", "suspect", swim->suspect);
    labelled(render, "state", "dead", swim->dead);
    labelled(render, "state", "left", swim->left);
    single(render, "consort_gossip_revoked", gauge, "Keys that are shut out for good.",
           swim->revoked);
    single(render, "consort_gossip_forgotten", gauge,
           "Members that were forgotten, and whose old words are refused.", swim->forgotten);
    single(render, "consort_gossip_records", gauge, "Records held, of all members.", swim->records);
    begin(render, "consort_gossip_accusations_total", counter,
          "Accusations that counted: made here, or heard of others.");
    labelled(render, "origin", "made", swim->accusations_made);
    labelled(render, "origin", "heard", swim->accusations_heard);
    single(render, "consort_gossip_refutations_total", counter,
           "Accusations of this peer that it answered.", swim->refutations);
    single(render, "consort_gossip_deaths_total", counter,
           "Members that this peer came to hold dead.", swim->deaths);
    single(render, "consort_gossip_pauses_total", counter,
           "Times that this peer noticed that it had been paused.", swim->pauses);
    single(render, "consort_gossip_health", gauge,
           "Lifeguard's local health multiplier less one: 0 is well, 8 is slow.", swim->health);
}

static void render_messages(struct render *render, const struct swim_counters *swim)
{
    both_ways(render, "consort_gossip_packets_total", "Gossip's packets.", swim->packets_sent,
              swim->packets_received);
    both_ways(render, "consort_gossip_packet_bytes_total", "Bytes of those, without sealing.",
              swim->packet_bytes_sent, swim->packet_bytes_received);
    both_ways(render, "consort_gossip_syncs_total", "Messages of anti-entropy.", swim->syncs_sent,
              swim->syncs_received);
    both_ways(render, "consort_gossip_sync_bytes_total", "Bytes of those.", swim->sync_bytes_sent,
              swim->sync_bytes_received);
    single(render, "consort_gossip_syncs_refused_total", counter,
           "Those received beyond what their sender may ask for.", swim->syncs_refused);
    single(render, "consort_gossip_malformed_total", counter,
           "Packets and messages of members that made no sense.", swim->malformed);
    single(render, "consort_gossip_rumors", gauge, "Facts that wait to be sent often enough.",
           swim->rumors);
    single(render, "consort_gossip_rumors_queued_total", counter, "Facts that became rumours.",
           swim->rumors_queued);
    single(render, "consort_gossip_rumors_sent_total", counter, "Times that a rumour was sent.",
           swim->rumors_sent);
    single(render, "consort_gossip_rumors_refused_total", counter,
           "Records beyond their owner's budget: left to anti-entropy.", swim->rumors_refused);
}

static void render_refusals(struct render *render, const uint64_t *refused)
{
    static const char *const words[] = {
        [SESSION_MALFORMED] = "malformed",
        [SESSION_OTHER_VERSION] = "other_version",
        [SESSION_NOT_FOR_US] = "not_for_us",
        [SESSION_COOKIE_WANTED] = "cookie_wanted",
        [SESSION_COOKIE_RECEIVED] = "cookie_received",
        [SESSION_SOURCE_BUSY] = "source_busy",
        [SESSION_UNKNOWN_INDEX] = "unknown_keys",
        [SESSION_NOT_AUTHENTIC] = "not_authentic",
        [SESSION_REPLAYED] = "replayed",
        [SESSION_KEYS_EXPIRED] = "keys_expired",
        [SESSION_CHAIN_BAD] = "certificate_bad",
        [SESSION_KEY_NOT_OWNED] = "key_not_owned",
        [SESSION_NOT_A_PEER] = "not_a_peer",
        [SESSION_NOT_ADMITTED] = "not_admitted",
    };
    _Static_assert(array_count(words) == SESSION_REFUSALS, "each refusal has a word");
    begin(render, "consort_session_refusals_total", counter,
          "Datagrams that were not let in, by reason.");
    for (size_t i = SESSION_ACCEPTED + 1; i < SESSION_REFUSALS; i++)
        labelled(render, "reason", words[i], refused[i]);
}

static void render_transport(struct render *render, const struct metrics *metrics)
{
    const struct sessions_counters *sessions = &metrics->sessions;
    both_ways(render, "consort_udp_datagrams_total", "Datagrams, those refused included.",
              metrics->udp.sent, metrics->udp.received);
    both_ways(render, "consort_udp_bytes_total", "Bytes of those, without IP and UDP headers.",
              metrics->udp.bytes_sent, metrics->udp.bytes_received);
    single(render, "consort_udp_send_failures_total", counter,
           "Datagrams that could not be sealed or sent.", metrics->udp.send_failures);
    single(render, "consort_sessions", gauge, "Peers with whom there are keys for packets.",
           metrics->session_count);
    single(render, "consort_session_table_bytes", gauge, "Memory of the sessions.",
           metrics->session_bytes);
    begin(render, "consort_session_handshakes_total", counter,
          "Packets of handshakes: first packets sent, first packets and answers taken.");
    labelled(render, "step", "first_sent", sessions->firsts_sent);
    labelled(render, "step", "first_taken", sessions->firsts_taken);
    labelled(render, "step", "answer_taken", sessions->answers_taken);
    render_refusals(render, sessions->refused);
    single(render, "consort_links", gauge, "Open links (TCP) with peers and operators.",
           metrics->link_count);
    single(render, "consort_links_relayed", gauge, "Those that go through another peer.",
           metrics->relayed_link_count);
    single(render, "consort_links_passed_on", gauge,
           "Links between two other peers that go through this one.", metrics->passed_link_count);
    single(render, "consort_link_messages_dropped_total", counter,
           "Control messages dropped because a peer took none.", metrics->messages_dropped);
}

static void render_raft(struct render *render, const struct metrics *metrics)
{
    begin(render, "consort_raft_role", gauge, "1 for the role that this peer has in Raft.");
    for (int role = RAFT_FOLLOWER; role <= RAFT_LEADER; role++)
        labelled(render, "role", raft_role_name((enum raft_role)role),
                 metrics->raft.role == (enum raft_role)role);
    single(render, "consort_raft_term", gauge, "The term.", metrics->raft.term);
    single(render, "consort_raft_commit_index", gauge,
           "The newest entry known to be committed; 0 at peers that do not vote.",
           metrics->raft.commit);
    single(render, "consort_raft_applied_index", gauge,
           "The newest change of the intent that this peer has, by Raft or the feed.",
           metrics->applied_index);
    single(render, "consort_raft_elections_total", counter, "Elections that this peer stood in.",
           metrics->raft.elections);
    single(render, "consort_raft_elections_won_total", counter, "Those that it won.",
           metrics->raft.elections_won);
    single(render, "consort_raft_snapshots_refused_total", counter,
           "Snapshots that were not what their hash says.", metrics->raft.snapshots_refused);
    single(render, "consort_raft_log_bytes", gauge, "Bytes of the log in memory.",
           metrics->raft.log_bytes);
    single(render, "consort_raft_voters", gauge, "Voters.", metrics->voters);
    single(render, "consort_raft_voters_live", gauge, "Voters that this peer sees alive.",
           metrics->live_voters);
}

static void render_runtime(struct render *render, const struct metrics *metrics)
{
    static const char *const words[] = {
        [VIEW_REPLICA_UNKNOWN] = "assigned",  [VIEW_REPLICA_PENDING] = "pending",
        [VIEW_REPLICA_STARTING] = "starting", [VIEW_REPLICA_RUNNING] = "running",
        [VIEW_REPLICA_STOPPING] = "stopping", [VIEW_REPLICA_BACKOFF] = "backoff",
        [VIEW_REPLICA_EXITED] = "exited",     [VIEW_REPLICA_FAILED] = "failed"};
    _Static_assert(array_count(words) == array_count(metrics->replicas), "each state has a word");
    begin(render, "consort_replicas", gauge, "Replicas placed on this peer, by state.");
    for (size_t i = 0; i < array_count(words); i++)
        labelled(render, "state", words[i], metrics->replicas[i]);
    single(render, "consort_mesh_connections", gauge, "Connections that are passed on now.",
           metrics->connections);
}

/* --- Containers --- */

/* A label's value: a quote, a backslash or a new line would end it. Names have none of them. */
static void append_escaped(struct render *render, const char *text)
{
    for (; *text; text++) {
        char escaped[3] = {'\\', *text == '\n' ? 'n' : *text, '\0'};
        bool is_plain = *text != '\\' && *text != '"' && *text != '\n';
        if (buffer_append_text(render->ret, is_plain ? escaped + 1 : escaped) < 0)
            render->has_failed = true;
    }
}

/* The beginning of a line, up to the value. */
static void of_container(struct render *render, const struct metrics_container *container,
                         const char *resource)
{
    bool has_failed = buffer_printf(render->ret, "%s{service=\"", render->name) < 0;
    append_escaped(render, container->service);
    has_failed |= buffer_printf(render->ret, "\",slot=\"%" PRIu32 "\"", container->slot) < 0;
    if (resource)
        has_failed |= buffer_printf(render->ret, ",resource=\"%s\"", resource) < 0;
    has_failed |= buffer_append_text(render->ret, "} ") < 0;
    render->has_failed |= has_failed;
}

static void container_fraction(struct render *render, const struct metrics_container *container,
                               const char *resource, double number)
{
    of_container(render, container, resource);
    if (buffer_printf(render->ret, "%.6f\n", number) < 0)
        render->has_failed = true;
}

static void container_value(struct render *render, const struct metrics_container *container,
                            uint64_t number)
{
    of_container(render, container, NULL);
    if (buffer_printf(render->ret, "%" PRIu64 "\n", number) < 0)
        render->has_failed = true;
}

static void render_usage(struct render *render, const struct metrics_sample *sample)
{
    const struct metrics_container *all = sample->containers;
    begin(render, "consort_container_cpu_seconds_total", counter,
          "CPU time that the container took since it was started.");
    for (size_t i = 0; i < sample->count; i++)
        container_fraction(render, &all[i], NULL, (double)all[i].stats.cpu_usec / 1e6);
    begin(render, "consort_container_cpu_limit_cores", gauge,
          "Its limit, in cores; missing where it has none.");
    for (size_t i = 0; i < sample->count; i++)
        if (all[i].stats.cpu_limit_millicores > 0)
            container_fraction(render, &all[i], NULL, all[i].stats.cpu_limit_millicores / 1e3);
    begin(render, "consort_container_memory_bytes", gauge,
          "Memory in use, without page cache that can be dropped.");
    for (size_t i = 0; i < sample->count; i++)
        container_value(render, &all[i], all[i].stats.memory_bytes);
    begin(render, "consort_container_memory_limit_bytes", gauge,
          "Its limit; missing where it has none.");
    for (size_t i = 0; i < sample->count; i++)
        if (all[i].stats.memory_limit_bytes > 0)
            container_value(render, &all[i], all[i].stats.memory_limit_bytes);
    begin(render, "consort_container_pids", gauge, "Processes and threads.");
    for (size_t i = 0; i < sample->count; i++)
        container_value(render, &all[i], all[i].stats.pids);
}

static void render_pressure(struct render *render, const struct metrics_sample *sample)
{
    begin(render, "consort_container_waiting_seconds_total", counter,
          "How long some process of it waited for it; missing where the kernel does not tell.");
    for (size_t i = 0; i < sample->count; i++) {
        const struct metrics_container *container = &sample->containers[i];
        const struct {
            const char *resource;
            struct container_pressure pressure;
        } all[] = {{"cpu", container->stats.cpu_pressure},
                   {"memory", container->stats.memory_pressure},
                   {"io", container->stats.io_pressure}};
        for (size_t j = 0; j < array_count(all); j++)
            if (all[j].pressure.permille >= 0)
                container_fraction(render, container, all[j].resource,
                                   (double)all[j].pressure.waited_usec / 1e6);
    }
}

static void render_containers(struct render *render, const struct metrics_sample *sample)
{
    render_usage(render, sample);
    render_pressure(render, sample);
    single(render, "consort_containers_left_out", gauge,
           "Containers that are not shown here, since there are too many.", sample->left_out);
}

int metrics_render(const struct metrics *metrics, struct buffer *ret)
{
    struct render render = {.ret = ret};
    render_process(&render, metrics);
    if (metrics->is_member) {
        render_membership(&render, &metrics->swim);
        render_profile(&render, metrics);
        render_probes(&render, &metrics->swim);
        render_paths(&render, &metrics->swim);
        render_messages(&render, &metrics->swim);
        render_transport(&render, metrics);
        render_raft(&render, metrics);
        render_runtime(&render, metrics);
        if (metrics->sample)
            render_containers(&render, metrics->sample);
    }
    return render.has_failed ? -ENOMEM : 0;
}
