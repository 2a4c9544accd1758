#include <malloc.h>
#include <stdlib.h>

#include "gossip/session_packet.h"
#include "tests/unit/gossip/session_fixture.h"

/* The linker sends all allocations here (see meson.build): what the server holds is counted. */
static size_t held_bytes;
static bool counting; /* the server is at work */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);

static size_t size_of(void *memory)
{
    return counting && memory ? malloc_usable_size(memory) : 0;
}

static void *count(void *memory)
{
    held_bytes += size_of(memory);
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return count(__real_malloc(size));
}

void *__wrap_calloc(size_t items, size_t size)
{
    return count(__real_calloc(items, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    held_bytes -= size_of(memory);
    return count(__real_realloc(memory, size));
}

void __wrap_free(void *memory)
{
    held_bytes -= size_of(memory);
    __real_free(memory);
}

/* A peer of the cluster with a number of its own. */
struct client {
    struct identity identity;
    struct certificate_chain chain;
    struct sessions *sessions;
};

static struct scene scene; /* its peer 1 is the server */
static struct address source;
static uint8_t room[2 * SESSION_DATAGRAM_BYTES_MAX];

static bool admit_all(void *context, const struct id *id, const struct certificate_chain *chain)
{
    (void)context;
    (void)id;
    (void)chain;
    return true;
}

static void client_start(struct client *client, unsigned number)
{
    static const struct certificate_chain none;
    uint8_t seed[IDENTITY_SEED_BYTES] = {(uint8_t)number, (uint8_t)(number >> 8), 3};
    identity_init(&client->identity, seed);
    assert_int_equal(fixture_certify(&scene.root, &scene.root, &none, &client->identity, ROLE_PEER,
                                     &client->chain),
                     0);
    client->sessions = sessions_new(&(struct sessions_config){
        .identity = &client->identity,
        .chain = &client->chain,
        .cluster = scene.root.id,
        .entropy = fixture_entropy(&scene.random),
        .generation = 1,
        .admit = admit_all,
    });
    assert_non_null(client->sessions);
}

static void client_stop(struct client *client)
{
    sessions_free(client->sessions);
    client->sessions = NULL;
}

/* The server takes a datagram, and answers what is due at once. */
static enum session_refusal serve(struct buffer *datagram, struct buffer *ret_answer)
{
    struct sessions *server = scene.peers[1].sessions;
    struct sessions_opened opened;
    counting = true;
    int rc = sessions_open(server, scene.now_ms, &source, buffer_view(datagram), &opened);
    if (rc == 0 && opened.answer_due)
        rc = sessions_answer(server, scene.now_ms, &opened.from, ret_answer);
    counting = false;
    assert_int_equal(rc, 0);
    assert_true(opened.reply.size <= datagram->size);
    assert_true(ret_answer->size <= datagram->size);
    return opened.refusal;
}

/* Sends a word to the server, with all that its answer leads to. */
static enum session_refusal say(struct client *client)
{
    struct buffer datagram = {0};
    struct buffer answer = {.bytes = room, .capacity = sizeof(room)};
    struct sessions_opened opened;
    assert_int_equal(sessions_seal(client->sessions, scene.now_ms, scene_id(&scene, 1),
                                   bytes_of_text("ping"), &datagram),
                     0);
    scene.now_ms += 11; /* no load that would make it ask for cookies */
    enum session_refusal refusal = serve(&datagram, &answer);
    if (answer.size > 0) {
        assert_int_equal(
            sessions_open(client->sessions, scene.now_ms, &source, buffer_view(&answer), &opened),
            0);
        assert_int_equal(opened.refusal, SESSION_ACCEPTED);
        buffer_clear(&datagram);
        assert_int_equal(
            sessions_answer(client->sessions, scene.now_ms, scene_id(&scene, 1), &datagram), 0);
        answer.size = 0;
        assert_int_equal(serve(&datagram, &answer), SESSION_ACCEPTED);
    }
    buffer_done(&datagram);
    return refusal;
}

static void start_server(const struct sessions_config *limits)
{
    scene_init(&scene);
    source = address_from_v4(0x0a000001, 7300);
    sessions_free(scene.peers[1].sessions);
    scene.peers[1].sessions = NULL;
    held_bytes = 0;
    counting = true;
    scene_start_with(&scene, 1, 2, limits);
    counting = false;
}

static void stop_server(void)
{
    counting = true;
    sessions_free(scene.peers[1].sessions);
    counting = false;
    scene.peers[1].sessions = NULL;
    assert_int_equal(held_bytes, 0);
    scene_done(&scene);
}

/* Breaks if 10,000 peers don't fit into the budget, if another one is not let in, or if it takes
 * the place of one that is in use instead of the idlest. */
static void test_ten_thousand_peers(void **state)
{
    (void)state;
    struct client early[2], client;
    start_server(&(struct sessions_config){0});
    struct sessions *server = scene.peers[1].sessions;
    for (unsigned i = 0; i < SESSION_PEERS_MAX; i++) {
        struct client *at = i < 2 ? &early[i] : &client;
        client_start(at, i);
        assert_int_equal(say(at), SESSION_ACCEPTED);
        if (i >= 2)
            client_stop(at);
    }
    assert_int_equal(sessions_keyed_count(server), SESSION_PEERS_MAX);
    print_message("%zu bytes for %d peers, %zu with tables\n", sessions_table_bytes(server),
                  SESSION_PEERS_MAX, held_bytes);
    assert_true(sessions_table_bytes(server) <= SESSION_TABLE_BYTES_MAX);
    assert_true(held_bytes <= SESSION_TABLE_BYTES_MAX);

    assert_int_equal(say(&early[0]), SESSION_ACCEPTED);
    client_start(&client, SESSION_PEERS_MAX);
    assert_int_equal(say(&client), SESSION_ACCEPTED);
    assert_int_equal(sessions_keyed_count(server), SESSION_PEERS_MAX);
    assert_int_equal(say(&early[0]), SESSION_ACCEPTED);
    assert_int_equal(say(&client), SESSION_ACCEPTED);
    assert_int_equal(say(&early[1]), SESSION_UNKNOWN_INDEX);
    client_stop(&client);
    client_stop(&early[0]);
    client_stop(&early[1]);
    stop_server();
}

/* Breaks if the table grows beyond its bytes, whatever it is made of, or drops who just spoke. */
static void test_budget(void **state)
{
    (void)state;
    enum { BUDGET = 20000, PEERS = 100 };
    cleanup_buffer struct buffer datagram = {0};
    struct client client;
    start_server(&(struct sessions_config){.table_bytes_max = BUDGET});
    struct sessions *server = scene.peers[1].sessions;
    for (unsigned i = 0; i < PEERS; i++) {
        client_start(&client, i);
        assert_int_equal(say(&client), SESSION_ACCEPTED);
        assert_int_equal(say(&client), SESSION_ACCEPTED);
        assert_true(sessions_table_bytes(server) <= BUDGET);
        client_stop(&client);
    }
    assert_in_range(sessions_peer_count(server), 20, PEERS - 1);
    for (unsigned i = 0; i < PEERS; i++) { /* and those whom it addresses itself */
        client_start(&client, PEERS + i);
        counting = true;
        datagram.size = 0;
        int rc = sessions_seal(server, scene.now_ms, &client.identity.id, bytes_of_text("ping"),
                               &datagram);
        buffer_done(&datagram);
        counting = false;
        assert_int_equal(rc, 0);
        assert_true(sessions_table_bytes(server) <= BUDGET);
        client_stop(&client);
    }
    assert_in_range(sessions_peer_count(server), 10, PEERS - 1);
    stop_server();
}

static void refuse(struct client *client, enum session_refusal expected)
{
    struct buffer datagram = {0};
    struct buffer answer = {.bytes = room, .capacity = sizeof(room)};
    assert_int_equal(sessions_seal(client->sessions, scene.now_ms, scene_id(&scene, 1),
                                   bytes_of_text("ping"), &datagram),
                     0);
    size_t before = held_bytes;
    assert_int_equal(serve(&datagram, &answer), expected);
    assert_int_equal(answer.size, 0);
    assert_int_equal(held_bytes, before);
    buffer_done(&datagram);
}

/* Breaks if anything that a stranger sends leaves something in memory. */
static void test_strangers(void **state)
{
    (void)state;
    struct client client;
    struct identity root;
    start_server(&(struct sessions_config){0});
    client_start(&client, 1);

    scene.peers[1].refuse_all = true;
    refuse(&client, SESSION_NOT_ADMITTED);
    for (int i = 0; i < SESSION_HANDSHAKES_PER_SECOND - 1; i++)
        refuse(&client, SESSION_NOT_ADMITTED);
    refuse(&client, SESSION_COOKIE_WANTED);
    scene.now_ms += 1000;
    client_stop(&client);

    root = scene.root; /* a cluster of its own */
    fixture_identity(&scene.root, 99);
    client_start(&client, 2);
    scene.root = root;
    refuse(&client, SESSION_CHAIN_BAD);
    client_stop(&client);

    for (uint8_t type = 0; type < 6; type++) {
        for (size_t size = 0; size <= SESSION_DATAGRAM_BYTES_MAX; size += 100) {
            uint8_t bytes[SESSION_DATAGRAM_BYTES_MAX] = {type, SESSION_VERSION};
            struct buffer datagram = {.bytes = bytes, .size = size};
            struct buffer answer = {.bytes = room, .capacity = sizeof(room)};
            size_t before = held_bytes;
            assert_int_not_equal(serve(&datagram, &answer), SESSION_ACCEPTED);
            assert_int_equal(held_bytes, before);
        }
    }
    assert_int_equal(sessions_peer_count(scene.peers[1].sessions), 0);
    assert_int_equal(sessions_table_bytes(scene.peers[1].sessions), 0);
    stop_server();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_thousand_peers),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
