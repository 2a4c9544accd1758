#include "node/peer/peer.h"

#include <errno.h>
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "node/api/api.h"
#include "node/images/images.h"
#include "node/mesh/mesh.h"
#include "node/mesh_process/host.h"
#include "node/metrics/http.h"
#include "node/peer/addresses.h"
#include "node/peer/anonymous.h"
#include "node/peer/disk.h"
#include "node/peer/join_server.h"
#include "node/peer/own_address.h"
#include "node/peer/pings.h"
#include "node/peer/proposals.h"
#include "node/peer/reads.h"
#include "node/peer/replicas.h"
#include "node/peer/sealing.h"
#include "node/peer/seeds.h"
#include "node/peer/spares.h"
#include "node/store/secret_file.h"

/* A key that has left its cluster with all of Raft's memory must not come back: it could vote twice
 * in one term, or for a candidate that lacks what it once acknowledged. */
static int drop_spent_identity(struct peer *peer, const char *path, const uint8_t *seed,
                               struct error *error)
{
    cleanup_buffer struct buffer spent = {0};
    struct identity identity;
    int rc = store_get(peer->store, STORE_KEY_SPENT, &spent, error);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    identity_init(&identity, seed);
    bool is_spent = bytes_equal(buffer_view(&spent), (struct bytes){identity.id.bytes, ID_BYTES});
    identity_done(&identity);
    if (is_spent && unlink(path) < 0)
        return error_set_errno(error, -errno, "removing %s, whose key has left its cluster", path);
    return is_spent ? -ENOENT : 0;
}

static int load_identity(struct peer *peer, struct error *error)
{
    char path[PATH_MAX];
    uint8_t seed[IDENTITY_SEED_BYTES];
    snprintf(path, sizeof(path), "%s/%s", peer->options.data_dir, SECRET_FILE_IDENTITY);
    int rc = secret_file_read(path, seed, sizeof(seed), error);
    if (rc == 0)
        rc = drop_spent_identity(peer, path, seed, error);
    if (rc == -ENOENT) {
        randombytes_buf(seed, sizeof(seed));
        rc = secret_file_create(path, seed, sizeof(seed), error);
    }
    if (rc == 0)
        identity_init(&peer->identity, seed);
    sodium_memzero(seed, sizeof(seed));
    return rc;
}

static int make_directory(const char *path, mode_t mode, struct error *error)
{
    if (mkdir(path, mode) == 0) /* the mode, whatever the umask takes from it */
        return chmod(path, mode) < 0 ? error_set_errno(error, -errno, "making %s", path) : 0;
    if (errno == EEXIST)
        return 0;
    int rc = error_set_errno(error, -errno, "making the directory %s", path);
    if (rc == -EACCES)
        error_hint(error, "consort node runs as root: start it with sudo or by systemd");
    return rc;
}

int peer_start(struct peer *peer, uv_loop_t *loop, const struct peer_options *options,
               struct error *error)
{
    char images_dir[PATH_MAX];
    snprintf(images_dir, sizeof(images_dir), "%s/images", options->data_dir);
    *peer = (struct peer){
        .loop = loop, .options = *options, .phase = PEER_ALONE, .start_wall_ms = peer_wall_ms()};
    agent_output_init(&peer->output);
    fault_init(&peer->fault, (uint64_t)peer_wall_ms());

    int rc = options->fault ? fault_parse(&peer->fault, options->fault, error) : 0;
    if (rc == 0)
        rc = make_directory(options->data_dir, 0700, error);
    if (rc == 0)
        rc = make_directory(options->run_dir, 0755, error);
    if (rc == 0)
        rc = peer_store_open(peer, error);
    if (rc == 0)
        rc = load_identity(peer, error);
    if (rc == 0)
        rc = image_store_open(images_dir, &peer->image_store, error);
    if (rc == 0)
        rc = api_server_new(peer, options->socket_path, options->socket_fd, &peer->api, error);
    if (rc == 0)
        rc = metrics_serve(peer, error);
    if (rc == 0) {
        rc = peer_load_membership(peer, error);
        if (rc == 0)
            rc = peer_start_member(peer, error);
        else if (rc == -ENOENT)
            rc = 0;
    }
    if (rc < 0) {
        peer_done(peer, NULL);
        return rc;
    }
    stopping_start(peer);
    return 0;
}

static void on_packet(void *context, const struct id *from, const struct address *source,
                      struct bytes payload)
{
    struct peer *peer = context;
    peer_step(peer, &(struct agent_input){
                        .type = AGENT_PACKET, .from = *from, .source = *source, .bytes = payload});
}

static void on_message(void *context, const struct id *from, uint8_t kind, struct bytes data)
{
    struct peer *peer = context;
    peer_step(peer,
              &(struct agent_input){
                  .type = AGENT_MESSAGE, .from = *from, .kind = kind, .bytes = data, .more = true});
}

static bool is_vital(void *context, const struct id *id)
{
    const struct peer *peer = context;
    struct id leader = peer->agent ? agent_raft_status(peer->agent)->leader : ID_NONE;
    return id_equal(&leader, id);
}

static void on_refused(void *context, const struct id *id)
{
    struct peer *peer = context;
    if (is_vital(peer, id) && !peer->is_stepping)
        peer_step(peer, &(struct agent_input){.type = AGENT_GONE, .from = *id});
}

static void on_stream(void *context, const struct link_remote *remote, struct mux_stream *stream,
                      uint8_t kind, struct bytes header)
{
    struct peer *peer = context;
    bool is_peer = !remote->by_token && remote->chain.certificates[0].role == ROLE_PEER;
    if (remote->by_token && kind == STREAM_JOIN)
        join_server_accept(peer, remote, stream);
    else if (is_peer && (kind == STREAM_BLOB || kind == STREAM_SHARE))
        images_accept(peer->images, &remote->id, stream, kind, header);
    else if (!remote->by_token && kind == STREAM_API)
        api_accept(peer->api, remote, stream, header);
    else
        stream_reset(stream, -EACCES);
}

static bool admit_session(void *context, const struct id *id, const struct certificate_chain *chain)
{
    struct peer *peer = context;
    const char *reason;
    if (agent_admits(peer->agent, id, chain, &reason))
        return true;
    log_limited(LOG_WARNING, "packet from peer %s refused: %s",
                chain->count > 0 ? chain->certificates[0].name : id_short(id), reason);
    return false;
}

static enum link_refusal admit_link(void *context, const struct id *id,
                                    const struct certificate_chain *chain)
{
    struct peer *peer = context;
    const char *reason;
    if (agent_admits(peer->agent, id, chain, &reason))
        return LINK_ACCEPTED;
    const struct intent_peer *known = intent_peer_find(agent_intent(peer->agent), id);
    return known ? LINK_REFUSED_REVOKED : LINK_REFUSED_UNKNOWN;
}

static int find_token(void *context, const uint8_t token_id[TOKEN_ID_BYTES],
                      uint8_t ret_psk[NOISE_PSK_BYTES])
{
    const struct peer *peer = context;
    const struct intent_token *token = intent_token_find(agent_intent(peer->agent), token_id);
    if (!token || token->uses_left == 0 ||
        (token->expires_wall_ms > 0 && token->expires_wall_ms <= peer_wall_ms()))
        return -ENOENT;
    memcpy(ret_psk, token->psk, NOISE_PSK_BYTES);
    return 0;
}

struct holder_walk {
    void (*each)(void *context, const struct id *id, const struct address *address);
    void *context;
};

static void on_holder(void *context, const struct swim_member *member)
{
    struct holder_walk *walk = context;
    walk->each(walk->context, &member->id, &member->stream_address);
}

static bool wants_image(const struct intent *intent, const struct intent_replica *replica,
                        const char *digest)
{
    const struct intent_service *service = intent_service_find(intent, replica->service);
    const struct intent_revision *revision =
        service ? intent_revision_find(service, replica->revision) : NULL;
    return replica->want == INTENT_RUN && revision &&
           service_spec_needs_image(&revision->spec, digest);
}

/* Peers where a replica was placed whose image that is. A peer may be told several times. */
static void each_wanting(struct peer *peer, const char *digest, struct holder_walk *walk)
{
    const struct intent *intent = agent_intent(peer->agent);
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        struct swim_member member;
        if (!id_equal(&replica->peer, &peer->identity.id) && wants_image(intent, replica, digest) &&
            swim_member_find(agent_swim(peer->agent), &replica->peer, &member) &&
            member.state == SWIM_ALIVE)
            on_holder(walk, &member);
    }
}

static void each_living(struct peer *peer, struct holder_walk *walk)
{
    const struct swim *swim = agent_swim(peer->agent);
    for (size_t i = 0; i < swim_member_count(swim); i++) {
        const struct swim_member member = swim_member_at(swim, i);
        if (member.state == SWIM_ALIVE && !id_equal(&member.id, &peer->identity.id))
            on_holder(walk, &member);
    }
}

static void each_peer(void *context, enum images_who who, const char *digest,
                      void (*each)(void *each_context, const struct id *id,
                                   const struct address *address),
                      void *each_context)
{
    struct peer *peer = context;
    struct holder_walk walk = {each, each_context};
    if (who == IMAGES_WHO_HAVE)
        agent_image_holders(peer->agent, digest, on_holder, &walk);
    else if (who == IMAGES_WHO_WANT)
        each_wanting(peer, digest, &walk);
    else
        each_living(peer, &walk);
}

static void on_image_held(void *context, const char *digest, const char *references)
{
    struct peer *peer = context;
    if (references)
        agent_publish_image(peer->agent, peer_now_ms(peer), digest, references);
    else
        agent_withdraw_image(peer->agent, peer_now_ms(peer), digest);
    peer_wake(peer);
}

static void on_runtime_ready(void *context, const struct error *error)
{
    struct peer *peer = context;
    if (error) {
        log_error("no containers can run here: %s%s%s", error->message, error->hint[0] ? "; " : "",
                  error->hint);
        return;
    }
    struct address gateway = runtime_gateway(peer->runtime);
    peer->runtime_is_ready = true;
    mesh_host_gateway_ready(peer->mesh, &gateway);
    addresses_changed(peer);
    replicas_changed(peer->replicas);
}

/* What is not known yet may want it. */
static bool needs_volume(void *context, const char *name)
{
    const struct peer *peer = context;
    return !peer->agent || agent_intent_is_old(peer->agent) ||
           anonymous_is_needed(agent_intent(peer->agent), agent_view(peer->agent),
                               &peer->identity.id, name);
}

static void on_container(void *context, const struct container_status *status)
{
    replicas_status(((struct peer *)context)->replicas, status);
}

/* How much fits into the next packet to a peer: a first one carries our certificates too. */
static size_t packet_room(void *context, int64_t now_ms, const struct id *to)
{
    const struct peer *peer = context;
    return peer->udp ? sessions_room(udp_sessions(peer->udp), now_ms, to)
                     : SESSION_FIRST_PAYLOAD_BYTES_MIN;
}

static void say_why_not_started(const struct peer *peer, const struct agent_stored *stored, int rc,
                                struct error *ret)
{
    const struct raft_snapshot *snapshot = stored->raft.snapshot;
    struct intent_level level = {0}, of_snapshot = {0};
    intent_level_peek(stored->intent, &level);
    if (snapshot && intent_level_peek(snapshot->data, &of_snapshot) == 0 &&
        of_snapshot.number > level.number)
        level = of_snapshot;
    if (rc == -EPROTONOSUPPORT) {
        error_set(ret, rc, "the cluster's state is at level %u, which takes consort %s",
                  level.number, level.version);
        error_hint(ret, "upgrade consort on this machine; its containers go on");
        return;
    }
    error_set_errno(ret, rc, "the stored state in %s contradicts itself", peer->options.data_dir);
    error_hint(ret, "move %s away and join again with a new token", peer->options.data_dir);
}

static int start_agent(struct peer *peer, struct error *error)
{
    struct peer_loaded *loaded;
    const struct agent_stored *stored;
    struct agent_config config = {
        .identity = &peer->identity,
        .chain = &peer->chain,
        .cluster = peer->cluster,
        .advertised = peer->options.advertised,
        .generation = (uint32_t)store_generation(peer->store),
        .swim = swim_config_lan(),
        .clock_drift_permille = peer->options.clock_drift_permille,
    };
    snprintf(config.name, sizeof(config.name), "%s", peer->options.name);
    randombytes_buf(&config.seed, sizeof(config.seed));
    config.swim.packet_room = packet_room;
    config.swim.packet_room_context = peer;
    int rc = peer_store_load(peer, &loaded, &stored, error);
    if (rc < 0)
        return rc;
    rc = agent_new(&config, stored, peer_now_ms(peer), &peer->agent);
    if (rc < 0)
        say_why_not_started(peer, stored, rc, error);
    peer_loaded_free(loaded);
    return rc;
}

static int start_network(struct peer *peer, struct error *error)
{
    struct udp_config udp = {
        .loop = peer->loop,
        .sessions = {.identity = &peer->identity,
                     .chain = &peer->chain,
                     .cluster = peer->cluster,
                     .generation = store_generation(peer->store),
                     .admit = admit_session,
                     .admit_context = peer},
        .fault = &peer->fault,
        .context = peer,
        .on_packet = on_packet,
    };
    struct links_config links = {
        .link = {.loop = peer->loop,
                 .identity = &peer->identity,
                 .chain = &peer->chain,
                 .cluster = peer->cluster,
                 .fault = &peer->fault,
                 .context = peer,
                 .admit = admit_link,
                 .find_token = find_token},
        .context = peer,
        .on_stream = on_stream,
        .locate = peer_locate,
        .helpers = peer_helpers,
        .is_vital = is_vital,
        .on_refused = on_refused,
        .on_for_mesh = peer_mesh_link,
        .on_mesh_failed = peer_mesh_link_failed,
        .on_message = on_message,
    };
    peer->udp = udp_new(&udp);
    peer->links = links_new(&links);
    if (!peer->udp || !peer->links)
        return error_set_errno(error, -ENOMEM, "starting");
    int rc = udp_bind(peer->udp, &peer->options.listen, NULL, error);
    if (rc == 0)
        rc = links_listen(peer->links, &peer->options.listen, NULL, error);
    return rc;
}

static int start_residents(struct peer *peer, struct error *error)
{
    char instance[32];
    snprintf(instance, sizeof(instance), "consort-%s", id_short(&peer->identity.id));
    struct images_config images = {.loop = peer->loop,
                                   .store = peer->image_store,
                                   .links = peer->links,
                                   .program = "/proc/self/exe",
                                   .registries = peer->options.registries,
                                   .context = peer,
                                   .peers = each_peer,
                                   .on_held = on_image_held};
    struct runtime_config runtime = {.data_dir = peer->options.data_dir,
                                     .run_dir = peer->options.run_dir,
                                     .instance = instance,
                                     .mesh_port = MESH_REDIRECT_PORT,
                                     .oci_runtime = peer->options.oci_runtime,
                                     .userns = peer->options.userns,
                                     .images = peer->image_store,
                                     .context = peer,
                                     .on_ready = on_runtime_ready,
                                     .on_change = on_container,
                                     .on_secret = sealing_reveal,
                                     .needs_volume = needs_volume};
    peer->images = images_new(&images);
    peer->mesh = peer_mesh_new(peer);
    peer->replicas = replicas_new(peer);
    peer->spares = spares_new(peer);
    peer->sealing = sealing_new(peer);
    if (!peer->images || !peer->mesh || !peer->replicas || !peer->spares || !peer->sealing)
        return error_set_errno(error, -ENOMEM, "starting");
    return runtime_new(peer->loop, &runtime, &peer->runtime, error);
}

/* A member goes by the name that it was admitted with, whatever its machine is called now: under
 * that one the others know it. */
static void take_admitted_name(struct peer *peer)
{
    const char *admitted = peer->chain.certificates[0].name;
    if (strcmp(peer->options.name, admitted) != 0)
        log_notice("this peer joined as %s and is called so, not %s: a name counts when a peer "
                   "joins",
                   admitted, peer->options.name);
    peer->options.name = admitted;
}

int peer_start_member(struct peer *peer, struct error *error)
{
    struct view_capacity capacity = {.cpu_millis = peer->options.cpu_millis,
                                     .memory_bytes = peer->options.memory_bytes,
                                     .version = CONSORT_VERSION};
    uv_update_time(peer->loop);
    take_admitted_name(peer);
    int rc = start_agent(peer, error);
    if (rc < 0)
        return rc;
    uv_timer_init(peer->loop,
                  &peer->deadline); /* close_member() closes them, if there is an agent */
    uv_idle_init(peer->loop, &peer->wake);
    uv_timer_init(peer->loop, &peer->quiet);
    peer->deadline.data = peer->wake.data = peer;
    rc = start_network(peer, error);
    if (rc == 0)
        rc = start_residents(peer, error);
    if (rc < 0)
        return rc;
    peer->seeds = seeds_new(peer);
    peer->disk = disk_new(peer);
    if (peer->options.advertised_is_found)
        peer->own_address = own_address_new(peer);
    if (!peer->seeds || !peer->disk || (peer->options.advertised_is_found && !peer->own_address))
        return error_set_errno(error, -ENOMEM, "starting");
    snprintf(capacity.labels, sizeof(capacity.labels), "%s", peer->options.labels);
    agent_publish_capacity(peer->agent, peer_now_ms(peer), &capacity);
    peer->phase = PEER_MEMBER;
    log_notice("peer %s of cluster %s at generation %llu, id=%s", peer->options.name,
               id_short(&peer->cluster), (unsigned long long)store_generation(peer->store),
               id_short(&peer->identity.id));
    peer_tick(peer);
    return 0;
}

static void on_runtime_closed(void *context)
{
    struct peer *peer = context;
    peer->runtime = NULL;
}

/* Starting many containers leaves a heap full of holes: 3.5 MB of them after five hundred. */
static void give_memory_back(uv_timer_t *timer)
{
    (void)timer;
    malloc_trim(0);
}

void peer_is_busy(struct peer *peer)
{
    uv_timer_start(&peer->quiet, give_memory_back, PEER_QUIET_MS, 0);
}

static void close_member(struct peer *peer)
{
    if (!peer->agent)
        return;
    proposals_cancel(peer);
    reads_cancel(peer);
    pings_cancel(peer);
    mesh_host_close(peer->mesh, peer->starts_anew || peer->phase == PEER_GONE);
    peer->mesh = NULL;
    images_close(peer->images); /* first: who waits for a fetch hears of it while it is there */
    replicas_free(peer->replicas);
    spares_free(peer->spares);
    sealing_free(peer->sealing);
    own_address_close(peer->own_address);
    peer->own_address = NULL;
    seeds_close(peer->seeds);
    disk_close(peer->disk);
    peer->seeds = NULL;
    peer->disk = NULL;
    peer->mesh = NULL;
    peer->images = NULL;
    peer->replicas = NULL;
    peer->spares = NULL;
    peer->sealing = NULL;
    if (peer->links)
        links_close(peer->links, NULL, NULL);
    udp_close(peer->udp);
    peer->links = NULL;
    peer->udp = NULL;
    uv_close((uv_handle_t *)&peer->deadline, NULL);
    uv_close((uv_handle_t *)&peer->wake, NULL);
    uv_close((uv_handle_t *)&peer->quiet, NULL);
    if (peer->runtime)
        runtime_close(peer->runtime, on_runtime_closed, peer);
}

void peer_stop(struct peer *peer, int exit_code)
{
    if (peer->is_stopping)
        return;
    peer->is_stopping = true;
    peer->exit_code = exit_code;
    uv_stop(peer->loop);
}

int peer_run(struct peer *peer)
{
    uv_run(peer->loop, UV_RUN_DEFAULT);
    stopping_done(peer);
    return peer->exit_code;
}

/* Closes everything and lets the loop run until it is empty: pending writes are stored. */
void peer_done(struct peer *peer, int *ret_socket_fd)
{
    peer->is_stopping = true;
    http_close(peer->http);
    peer->http = NULL;
    close_member(peer);
    int fd = api_server_close(peer->api, peer->starts_anew && ret_socket_fd);
    if (ret_socket_fd)
        *ret_socket_fd = fd;
    peer->api = NULL;
    store_close(peer->store);
    peer->store = NULL;
    uv_run(peer->loop, UV_RUN_DEFAULT);
    agent_output_done(&peer->output);
    metrics_sample_done(&peer->sample);
    agent_free(peer->agent);
    image_store_free(peer->image_store);
    identity_done(&peer->identity);
    peer->agent = NULL;
    peer->image_store = NULL;
}

void peer_removed(struct peer *peer)
{
    if (peer->phase == PEER_GONE || peer->phase == PEER_LEAVING)
        return;
    log_error("this peer was revoked: its containers are removed; to bring it back, move %s away "
              "and join again with a new token",
              peer->options.data_dir);
    peer->phase = PEER_GONE;
    replicas_changed(peer->replicas);
}
