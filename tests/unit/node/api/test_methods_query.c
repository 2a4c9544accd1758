#include <errno.h>
#include <msgpack.h>
#include <stdio.h>

#include "node/api/call.h"
#include "node/mesh_process/host.h"
#include "tests/unit/consensus/failing_memory.h"
#include "tests/unit/consensus/intent_fixture.h"
#include "tests/unit/node/control/agent_bench.h"

void __wrap_api_answer(struct api_call *call, const struct buffer *result);
void __wrap_api_fail_with(struct api_call *call, int code, const char *hint, const char *format,
                          ...) __attribute__((format(printf, 4, 5)));
int __wrap_api_note(struct api_call *call, const char *kind, struct bytes payload);

/* What the last call came to, as text; notes one a line. */
static struct {
    char text[65536];
    struct error error;
    unsigned notes;
    bool is_done, is_starving; /* starving: what is said may be cut short */
} said;

static void print_bytes(struct bytes bytes)
{
    msgpack_unpacked unpacked;
    size_t offset = 0, length = strlen(said.text);
    msgpack_unpacked_init(&unpacked);
    assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)bytes.data, bytes.size, &offset),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(offset, bytes.size); /* as many values as the map says */
    msgpack_object_print_buffer(said.text + length, sizeof(said.text) - length, unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
}

void __wrap_api_answer(struct api_call *call, const struct buffer *result)
{
    memory_pause();
    assert_false(said.is_done);
    said.is_done = true;
    if (result && result->size > 0 && !said.is_starving)
        print_bytes(buffer_view(result));
    free(call);
}

void __wrap_api_fail_with(struct api_call *call, int code, const char *hint, const char *format,
                          ...)
{
    va_list arguments;
    assert_false(said.is_done);
    said.is_done = true;
    said.error.code = code;
    va_start(arguments, format);
    vsnprintf(said.error.message, sizeof(said.error.message), format, arguments);
    va_end(arguments);
    snprintf(said.error.hint, sizeof(said.error.hint), "%s", hint);
    free(call);
}

int __wrap_api_note(struct api_call *call, const char *kind, struct bytes payload)
{
    (void)call;
    assert_string_equal(kind, "event");
    said.notes++;
    print_bytes(payload);
    size_t length = strlen(said.text);
    snprintf(said.text + length, sizeof(said.text) - length, "\n");
    return 0;
}

/* The clocks, as the peer reads them. */
static struct {
    int64_t now_ms, wall_ms;
} clocks;

int64_t __wrap_peer_now_ms(const struct peer *peer);
int64_t __wrap_peer_wall_ms(void);

int64_t __wrap_peer_now_ms(const struct peer *peer)
{
    (void)peer;
    return clocks.now_ms;
}

int64_t __wrap_peer_wall_ms(void)
{
    return clocks.wall_ms;
}

struct here {
    struct fleet f;
    uv_loop_t loop;
    struct peer peer;
};

static void start(struct here *h)
{
    memset(h, 0, sizeof(*h));
    fleet_start(&h->f, 2, 1);
    uv_loop_init(&h->loop);
    const struct mesh_host_config mesh = {.loop = &h->loop, .context = h};
    h->peer = (struct peer){.loop = &h->loop,
                            .options = {.name = "p0", .advertised = address_from_v4(1, 2)},
                            .phase = PEER_MEMBER,
                            .identity = h->f.peers[0].identity,
                            .cluster = h->f.root.id,
                            .agent = h->f.peers[0].agent,
                            .mesh = mesh_host_new(&mesh)};
    assert_non_null(h->peer.mesh);
}

static void done(struct here *h)
{
    mesh_host_close(h->peer.mesh, false);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&h->loop), 0);
    fleet_done(&h->f);
}

static const struct api_entry *find_method(const char *name)
{
    const struct api_entry *const tables[] = {api_query_methods, api_peer_methods,
                                              api_profile_methods, api_voters_methods};
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        for (const struct api_entry *entry = tables[i]; entry->name; entry++)
            if (strcmp(entry->name, name) == 0)
                return entry;
    fail_msg("there is no method %s", name);
    return NULL;
}

static struct api_call *begin(struct here *h, const char *method, const char *key,
                              const char *value)
{
    struct api_call *call = calloc(1, sizeof(*call));
    cleanup_buffer struct buffer params = {0};
    struct writer writer;
    const struct api_entry *entry = find_method(method);
    assert_non_null(call);
    call->peer = &h->peer;
    memset(&said, 0, sizeof(said));
    writer_init(&writer, &params);
    writer_map(&writer, key ? 1 : 0);
    if (key && value)
        put_text(&writer, key, value);
    else if (key)
        put_flag(&writer, key, true);
    entry->method(call, buffer_view(&params));
    return call;
}

static void ask(struct here *h, const char *method, const char *key, const char *value)
{
    begin(h, method, key, value);
    assert_true(said.is_done);
}

static void assert_says(const char *text)
{
    if (!strstr(said.text, text))
        fail_msg("%s is not in: %s", text, said.text);
}

static void deploy(struct here *h, uint32_t replicas, uint64_t memory_bytes)
{
    struct service_spec spec;
    fixture_spec(&spec, "web");
    fixture_publish(&spec, 8080);
    spec.replicas = replicas;
    spec.resources.memory_reserved_bytes = memory_bytes;
    fleet_deploy(&h->f, 0, &spec);
    fleet_run(&h->f, 1000);
}

/* Breaks if a peer can't say what it is, with or without a cluster. */
static void test_status(void **state)
{
    (void)state;
    struct here h;
    start(&h);
    ask(&h, "version", NULL, NULL);
    assert_says("\"protocol\"");
    ask(&h, "status", NULL, NULL);
    assert_says("\"phase\"=>\"member\"");
    assert_says("\"role\"=>\"leader\"");
    assert_says("\"leader\"=>\"p0\"");
    assert_says("\"quorum\"=>true");
    assert_says("\"members\"=>2");
    assert_says("\"voters\"=>1");

    h.peer.agent = NULL;
    h.peer.phase = PEER_ALONE;
    ask(&h, "status", NULL, NULL);
    assert_says("\"phase\"=>\"no cluster\"");
    assert_null(strstr(said.text, "quorum"));
    done(&h);
}

/* Breaks if peers are shown otherwise than they are seen, or one that is not there ends the call
 * without a word. */
static void test_peers(void **state)
{
    (void)state;
    struct here h;
    start(&h);
    ask(&h, "peer.ls", NULL, NULL);
    assert_says("\"name\"=>\"p0\", \"state\"=>\"alive\"");
    assert_says("\"name\"=>\"p1\", \"state\"=>\"alive\"");
    assert_says("\"labels\"=>\"number=1\"");
    fleet_kill(&h.f, 1);
    fleet_run(&h.f, 10000);
    ask(&h, "peer.inspect", "peer", "p1");
    assert_says("\"state\"=>\"dead\"");
    assert_says("\"accusers\"=>[{\"name\"=>\"p0\"");
    ask(&h, "peer.inspect", "peer", "p9");
    assert_int_equal(said.error.code, -ENOENT);
    assert_non_null(strstr(said.error.message, "p9"));
    assert_non_null(strstr(said.error.hint, "consort peer ls"));

    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&h.f, 1);
    command.peer_state.state = INTENT_REVOKED;
    fleet_agree(&h.f, 0, &command);
    ask(&h, "peer.inspect", "peer", "p1");
    assert_says("\"state\"=>\"revoked\"");
    done(&h);
}

/* Asks what a peer is shown as, and reads since when; -1 for nil. */
static int64_t ask_state(struct here *h, const char *peer, char ret_state[16])
{
    clocks.now_ms = h->f.now_ms;
    ask(h, "peer.inspect", "peer", peer);
    const char *state = strstr(said.text, "\"state\"=>\"");
    const char *since = strstr(said.text, "\"since_ms\"=>");
    assert_non_null(state);
    assert_non_null(since);
    assert_int_equal(sscanf(state, "\"state\"=>\"%15[a-z]", ret_state), 1);
    since += strlen("\"since_ms\"=>");
    return strncmp(since, "nil", 3) == 0 ? -1 : strtoll(since, NULL, 10);
}

static void set_state(struct here *h, unsigned number, enum intent_peer_state state)
{
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&h->f, number);
    command.peer_state.state = state;
    command.head.wall_ms = clocks.wall_ms;
    fleet_agree(&h->f, 0, &command);
}

/* Breaks if a peer's state, or since when it is in it, is not what it is: through a whole life. */
static void test_life_of_a_peer(void **state)
{
    (void)state;
    enum { MINUTE_MS = 60 * 1000 };
    struct here h;
    char words[16];
    start(&h);
    fleet_run(&h.f, 60 * 1000); /* up for long enough to have heard of all */
    clocks.wall_ms = (int64_t)1000 * MINUTE_MS;
    struct command command = fleet_admission(2);
    command.head.wall_ms = clocks.wall_ms;
    fleet_agree(&h.f, 0, &command);
    clocks.wall_ms += MINUTE_MS;
    assert_int_equal(ask_state(&h, "p2", words), MINUTE_MS);
    assert_string_equal(words, "joining");
    clocks.wall_ms += 10 * MINUTE_MS; /* and was never heard of */
    assert_int_equal(ask_state(&h, "p2", words), -1);
    assert_string_equal(words, "dead");

    assert_true(ask_state(&h, "p1", words) >= 60 * 1000);
    assert_string_equal(words, "alive");
    fleet_kill(&h.f, 1);
    while (ask_state(&h, "p1", words) >= 60 * 1000)
        fleet_run(&h.f, 50);
    assert_in_range(ask_state(&h, "p1", words), 0, 50);
    assert_string_equal(words, "suspect");
    fleet_run(&h.f, 10000);
    assert_in_range(ask_state(&h, "p1", words), 5000, 11000);
    assert_string_equal(words, "dead");
    set_state(&h, 1, INTENT_LEFT);
    clocks.wall_ms += MINUTE_MS;
    assert_int_equal(ask_state(&h, "p1", words), MINUTE_MS);
    assert_string_equal(words, "left");
    set_state(&h, 1, INTENT_REVOKED);
    clocks.wall_ms += 2 * MINUTE_MS;
    assert_int_equal(ask_state(&h, "p1", words), 2 * MINUTE_MS);
    assert_string_equal(words, "revoked");
    assert_true(ask_state(&h, "p0", words) >= 70 * 1000);
    assert_string_equal(words, "alive");
    done(&h);
}

/* Breaks if a peer that was started a moment ago holds all others dead, of whom it can't know yet.
 */
static void test_just_started(void **state)
{
    (void)state;
    struct here h;
    char words[16];
    start(&h);
    clocks.wall_ms = (int64_t)1 << 40; /* the others were admitted long ago */
    fleet_kill(&h.f, 1);
    fleet_run(&h.f, 10000);
    fleet_kill(&h.f, 0);
    fleet_restart(&h.f, 0);
    h.peer.agent = h.f.peers[0].agent;
    fleet_run(&h.f, 1000);
    assert_int_equal(ask_state(&h, "p1", words), -1);
    assert_string_equal(words, "unknown");
    fleet_run(&h.f, 30000);
    assert_int_equal(ask_state(&h, "p1", words), -1);
    assert_string_equal(words, "dead");
    done(&h);
}

/* Breaks if services or their replicas are not shown as they are, those that no peer takes too. */
static void test_services(void **state)
{
    (void)state;
    struct here h;
    start(&h);
    deploy(&h, 3, (uint64_t)3 << 30); /* each peer has room for one */
    ask(&h, "service.ls", NULL, NULL);
    assert_says("\"name\"=>\"s_web\"");
    assert_says("\"replicas\"=>3, \"serving\"=>0");
    assert_says("\"ports\"=>\"8080:80\"");
    ask(&h, "service.inspect", "service", "web");
    assert_says("\"virtual_ip\"=>\"10.97.0.");
    assert_says("\"virtual_ipv6\"=>\"fd39:8035:57fb:ffff::a61:");
    assert_says("\"revisions\"=>[{\"number\"=>1");
    assert_says("\"actor\"=>\"ann\"");
    ask(&h, "service.inspect", "service", "none");
    assert_int_equal(said.error.code, -ENOENT);

    ask(&h, "ps", NULL, NULL);
    assert_says("\"name\"=>\"s_web.1\"");
    assert_says("\"state\"=>\"assigned\"");
    assert_says("\"name\"=>\"s_web.3\", \"service\"=>\"s_web\", \"slot\"=>3, \"generation\"=>0");
    assert_says("\"state\"=>\"pending\"");
    struct view_replica replica = {
        .generation = 1, .state = VIEW_REPLICA_BACKOFF, .restarts = 4, .detail = "boom\x01\nbang"};
    const struct intent_replica *first = intent_replica_find(agent_intent(h.peer.agent), 1);
    unsigned holder = id_equal(&first->peer, &h.peer.identity.id) ? 0 : 1;
    assert_int_equal(agent_publish_replica(h.f.peers[holder].agent, h.f.now_ms, &replica), 0);
    h.f.peers[holder].output.next_deadline_ms = h.f.now_ms;
    fleet_run(&h.f, 500);
    ask(&h, "ps", "service", "s_web");
    assert_says("\"state\"=>\"backoff\"");
    assert_says("\"restarts\"=>4");
    ask(&h, "ps", "service", "none");
    assert_int_equal(said.error.code, -ENOENT);

    ask(&h, "why", "subject", "s_web");
    assert_says("s_web: 0 of 3 replicas serve");
    assert_says("boom \", \"bang; restarted 4 times\""); /* a line each, no control characters */
    ask(&h, "why", "subject", "s_web.1");
    assert_says("s_web.1 revision 1 at peer");
    assert_null(strstr(said.text, "s_web.2 revision"));
    ask(&h, "why", "subject", "none");
    assert_int_equal(said.error.code, -ENOENT);
    done(&h);
}

/* Breaks if operators are shown another profile than the one that is in force, or may choose one
 * that is none. */
static void test_profile(void **state)
{
    (void)state;
    struct here h;
    start(&h);
    ask(&h, "cluster.profile", NULL, NULL);
    assert_says("\"profile\"=>\"lan\"");
    assert_says("\"fanout_set\"=>nil");
    assert_says("\"actor\"=>nil");
    struct command command = fleet_command(COMMAND_GOSSIP);
    command.gossip.has_profile = command.gossip.has_fanout = true;
    command.gossip.profile = INTENT_PROFILE_EDGE;
    command.gossip.fanout = 7;
    fleet_agree(&h.f, 0, &command);
    fleet_run(&h.f, 1000);
    ask(&h, "cluster.profile", NULL, NULL);
    assert_says("\"profile\"=>\"edge\"");
    assert_says("\"probe_interval_ms\"=>5000");
    assert_says("\"probe_interval_ms_set\"=>nil");
    assert_says("\"fanout\"=>7");
    assert_says("\"fanout_set\"=>7");
    ask(&h, "status", NULL, NULL);
    assert_says("\"profile\"=>\"edge\"");

    ask(&h, "cluster.profile.set", "profile", "moon");
    assert_int_equal(said.error.code, -EINVAL);
    assert_string_equal(said.error.message, "there is no such profile: moon");
    done(&h);
}

/* Breaks if operators are shown another number of voters than counts, or may choose none. */
static void test_voters(void **state)
{
    (void)state;
    struct here h;
    start(&h);
    ask(&h, "cluster.voters", NULL, NULL);
    assert_says("\"actor\"=>nil");
    struct command command = fleet_command(COMMAND_VOTERS);
    command.voters.max = 7;
    fleet_agree(&h.f, 0, &command);
    fleet_run(&h.f, 1000);
    ask(&h, "cluster.voters", NULL, NULL);
    assert_says("\"max\"=>7");
    ask(&h, "status", NULL, NULL);
    assert_says("\"voters_max\"=>7");
    ask(&h, "cluster.voters.set", NULL, NULL);
    assert_int_equal(said.error.code, -EINVAL);
    done(&h);
}

/* Breaks if an answer that there is no memory for is read past its end. */
static void test_no_memory(void **state)
{
    (void)state;
    struct here h;
    start(&h);
    deploy(&h, 2, 0);
    cleanup_buffer struct buffer params = {0};
    struct writer writer;
    const struct api_entry *entry = api_query_methods;
    while (strcmp(entry->name, "why") != 0)
        entry++;
    writer_init(&writer, &params);
    writer_map(&writer, 1);
    put_text(&writer, "subject", "s_web");
    for (int64_t n = 0; n < 200; n++) {
        struct api_call *call = calloc(1, sizeof(*call));
        assert_non_null(call);
        call->peer = &h.peer;
        memset(&said, 0, sizeof(said));
        said.is_starving = true;
        memory_fail_after(n);
        entry->method(call, buffer_view(&params));
        memory_pause();
        assert_true(said.is_done);
    }
    done(&h);
}

/* Breaks if an event is told twice to who follows, or not at all, or the call outlives its client.
 */
static void test_events(void **state)
{
    (void)state;
    struct here h;
    start(&h);
    ask(&h, "events", NULL, NULL);
    unsigned before = said.notes;
    assert_true(before >= 2);
    assert_says("\"subject\"=>\"p1\"");

    struct api_call *call = begin(&h, "events", "follow", NULL);
    assert_int_equal(said.notes, before);
    assert_false(said.is_done);
    deploy(&h, 1, 0);
    for (int i = 0; i < 3; i++)
        uv_run(&h.loop, UV_RUN_ONCE);
    assert_true(said.notes > before);
    assert_says("\"subject\"=>\"s_web\"");
    unsigned after = said.notes;
    for (int i = 0; i < 3; i++)
        uv_run(&h.loop, UV_RUN_ONCE);
    assert_int_equal(said.notes, after);
    call->is_canceled = true;
    uv_run(&h.loop, UV_RUN_ONCE);
    assert_true(said.is_done);
    done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),         cmocka_unit_test(test_peers),
        cmocka_unit_test(test_life_of_a_peer), cmocka_unit_test(test_just_started),
        cmocka_unit_test(test_services),       cmocka_unit_test(test_profile),
        cmocka_unit_test(test_voters),         cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
