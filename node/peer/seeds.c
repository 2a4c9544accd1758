#include "node/peer/seeds.h"

#include <errno.h>
#include <netdb.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/peer/peer.h"
#include "node/transport/socket.h"

enum {
    SEED_ADDRESSES_MAX = 2, /* taken of what one name stands for */
    REMEMBERED_AT_ONCE = SWIM_SEEDS_MAX - SEEDS_NAMED_MAX * SEED_ADDRESSES_MAX,
    RETRY_MS = 1000, /* after a failed lookup; doubles … */
    RETRY_MAX_MS = 60 * 1000,
    AGAIN_ALONE_MS = 60 * 1000, /* after a good one, while nobody answers */
    AGAIN_MS = 10 * 60 * 1000,
    PORT_TEXT_BYTES = 8,
};

/* One --seed. */
struct named {
    struct seeds *seeds;
    char host[SEED_NAME_BYTES_MAX + 1];
    uint16_t port;
    struct address addresses[SEED_ADDRESSES_MAX]; /* as it was found the last time */
    size_t address_count;
    uint64_t retry_ms; /* the wait after the next failure */
    bool is_looking;
    uv_getaddrinfo_t request;
    uv_timer_t timer;
};

struct remembered {
    struct id id;
    struct address address;
};

struct seeds {
    struct peer *peer;
    struct named *named;
    size_t named_count;
    struct remembered remembered[REMEMBERED_AT_ONCE]; /* those that are tried now */
    size_t remembered_count;
    uv_timer_t timer;
    size_t handles; /* timers not closed and lookups not over */
    bool is_closing;
};

/* Splits "name:port"; what has several colons is an IPv6 address, which is no name. */
static int parse_name(const char *text, char ret_host[SEED_NAME_BYTES_MAX + 1], uint16_t *ret_port)
{
    const char *colon = strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    unsigned long port = PEER_PORT_DEFAULT;
    if (length == 0 || length > SEED_NAME_BYTES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_'))
            return -EINVAL;
    }
    if (colon) {
        char *end;
        if (colon[1] < '0' || colon[1] > '9')
            return -EINVAL;
        port = strtoul(colon + 1, &end, 10);
        if (*end || port == 0 || port > UINT16_MAX)
            return -EINVAL;
    }
    memcpy(ret_host, text, length);
    ret_host[length] = '\0';
    *ret_port = (uint16_t)port;
    return 0;
}

bool seed_is_valid(const char *text)
{
    char host[SEED_NAME_BYTES_MAX + 1];
    struct address address;
    uint16_t port;
    return address_parse(text, PEER_PORT_DEFAULT, &address) == 0 ||
           parse_name(text, host, &port) == 0;
}

static bool is_alone(const struct seeds *seeds)
{
    return swim_live_count(agent_swim(seeds->peer->agent)) <= 1;
}

static void release(struct seeds *seeds)
{
    if (--seeds->handles > 0)
        return;
    free(seeds->named);
    free(seeds);
}

/* --- By name --- */

static void on_named_timer(uv_timer_t *timer);

/* Replaces what the name stood for before. */
static void use(struct named *named, const struct address *addresses, size_t count)
{
    struct agent *agent = named->seeds->peer->agent;
    for (size_t i = 0; i < named->address_count; i++)
        agent_remove_seed(agent, &named->addresses[i]);
    for (size_t i = 0; i < count; i++) {
        named->addresses[i] = addresses[i];
        agent_add_seed(agent, NULL, &addresses[i]);
    }
    named->address_count = count;
    peer_wake(named->seeds->peer);
}

static size_t take_addresses(const struct addrinfo *found, uint16_t port,
                             struct address ret[SEED_ADDRESSES_MAX])
{
    size_t count = 0;
    for (; found && count < SEED_ADDRESSES_MAX; found = found->ai_next) {
        if (socket_address_to(found->ai_addr, &ret[count]) < 0)
            continue;
        ret[count].port = port;
        bool is_new = true;
        for (size_t i = 0; i < count; i++)
            is_new = is_new && !address_equal(&ret[i], &ret[count]);
        count += is_new;
    }
    return count;
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct named *named = request->data;
    struct seeds *seeds = named->seeds;
    struct address addresses[SEED_ADDRESSES_MAX];
    size_t count = status == 0 ? take_addresses(found, named->port, addresses) : 0;
    uint64_t wait_ms;
    uv_freeaddrinfo(found);
    named->is_looking = false;
    if (seeds->is_closing) {
        release(seeds);
        return;
    }
    seeds->handles--;
    if (count > 0) {
        use(named, addresses, count);
        named->retry_ms = RETRY_MS;
        wait_ms = is_alone(seeds) ? AGAIN_ALONE_MS : AGAIN_MS;
    } else {
        log_limited(LOG_WARNING, "the seed %s can't be looked up: %s", named->host,
                    status < 0 ? uv_strerror(status) : "it has no address");
        wait_ms = named->retry_ms; /* what it stood for before stays */
        named->retry_ms = 2 * wait_ms < RETRY_MAX_MS ? 2 * wait_ms : RETRY_MAX_MS;
    }
    uv_timer_start(&named->timer, on_named_timer, wait_ms, 0);
}

static void on_named_timer(uv_timer_t *timer)
{
    struct named *named = timer->data;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    named->request.data = named;
    if (uv_getaddrinfo(timer->loop, &named->request, on_found, named->host, NULL, &hints) < 0) {
        uv_timer_start(timer, on_named_timer, RETRY_MAX_MS, 0);
        return;
    }
    named->is_looking = true;
    named->seeds->handles++;
}

static void start_named(struct named *named, const char *text)
{
    struct address address;
    if (address_parse(text, PEER_PORT_DEFAULT, &address) == 0) {
        use(named, &address, 1);
    } else if (parse_name(text, named->host, &named->port) == 0) {
        named->retry_ms = RETRY_MS;
        uv_timer_start(&named->timer, on_named_timer, 0, 0);
    }
}

/* --- Remembered --- */

struct sampling {
    struct seeds *seeds;
    size_t seen;
};

/* Each of them is as likely to be among those that are kept (reservoir sampling). */
static int visit(void *context, const struct id *id, const struct address *address)
{
    struct sampling *sampling = context;
    struct seeds *seeds = sampling->seeds;
    size_t place = seeds->remembered_count;
    sampling->seen++;
    if (place == REMEMBERED_AT_ONCE)
        place = randombytes_uniform((uint32_t)sampling->seen);
    else
        seeds->remembered_count++;
    if (place < REMEMBERED_AT_ONCE)
        seeds->remembered[place] = (struct remembered){*id, *address};
    return 0;
}

static void choose_remembered(struct seeds *seeds)
{
    struct peer *peer = seeds->peer;
    struct sampling sampling = {.seeds = seeds};
    struct error error = {0};
    for (size_t i = 0; i < seeds->remembered_count; i++)
        agent_remove_seed(peer->agent, &seeds->remembered[i].address);
    seeds->remembered_count = 0;
    if (peer_each_address(peer, visit, &sampling, &error) < 0)
        log_limited(LOG_WARNING, "%s", error.message);
    for (size_t i = 0; i < seeds->remembered_count; i++) {
        const struct remembered *chosen = &seeds->remembered[i];
        agent_add_seed(peer->agent, &chosen->id, &chosen->address);
        links_set_address(peer->links, &chosen->id, &chosen->address);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct seeds *seeds = timer->data;
    if (!is_alone(seeds))
        return;
    choose_remembered(seeds);
    for (size_t i = 0; i < seeds->named_count; i++) { /* choosing may have removed the same */
        struct named *named = &seeds->named[i];
        for (size_t k = 0; k < named->address_count; k++)
            agent_add_seed(seeds->peer->agent, NULL, &named->addresses[k]);
    }
    peer_wake(seeds->peer);
}

/* --- The beginning and the end --- */

struct seeds *seeds_new(struct peer *peer)
{
    struct seeds *seeds = calloc(1, sizeof(*seeds));
    size_t count = peer->options.seed_count;
    struct named *named = calloc(count + 1, sizeof(*named));
    if (!seeds || !named) {
        free(seeds);
        free(named);
        return NULL;
    }
    seeds->peer = peer;
    seeds->named = named;
    seeds->named_count = count;
    seeds->handles = count + 1;
    uv_timer_init(peer->loop, &seeds->timer);
    seeds->timer.data = seeds;
    choose_remembered(seeds);
    for (size_t i = 0; i < count; i++) {
        named[i].seeds = seeds;
        uv_timer_init(peer->loop, &named[i].timer);
        named[i].timer.data = &named[i];
        start_named(&named[i], peer->options.seeds[i]);
    }
    uv_timer_start(&seeds->timer, on_timer, AGAIN_ALONE_MS, AGAIN_ALONE_MS);
    return seeds;
}

static void on_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void on_named_closed(uv_handle_t *handle)
{
    struct named *named = handle->data;
    release(named->seeds);
}

void seeds_close(struct seeds *seeds)
{
    if (!seeds || seeds->is_closing)
        return;
    seeds->is_closing = true;
    for (size_t i = 0; i < seeds->named_count; i++) {
        if (seeds->named[i].is_looking)
            uv_cancel((uv_req_t *)&seeds->named[i].request); /* the callback comes in any case */
        uv_close((uv_handle_t *)&seeds->named[i].timer, on_named_closed);
    }
    uv_close((uv_handle_t *)&seeds->timer, on_closed);
}
