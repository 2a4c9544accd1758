#include "node/peer/own_address.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/ip_network.h"
#include "base/log.h"
#include "node/grid.h"
#include "node/peer/peer.h"
#include "node/transport/socket.h"

enum {
    LOOK_MS = 10000,
};

struct own_address {
    struct peer *peer;
    uv_timer_t timer;
};

static bool is_advertisable(const struct ifaddrs *at, int family)
{
    if (!at->ifa_addr || at->ifa_addr->sa_family != family || (at->ifa_flags & IFF_LOOPBACK) ||
        !(at->ifa_flags & IFF_UP) || strncmp(at->ifa_name, "consort", 7) == 0)
        return false;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)at->ifa_addr;
    return family != AF_INET6 || !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
}

/* Finds the first address; or, with `wanted`, whether that one is among them. */
static bool look(const struct address *wanted, struct address *ret)
{
    static const int families[] = {AF_INET, AF_INET6};
    struct ifaddrs *list;
    bool found = false;
    if (getifaddrs(&list) < 0)
        return wanted != NULL; /* not known: nothing changes */
    for (size_t i = 0; i < 2 && !found; i++) {
        for (const struct ifaddrs *at = list; at && !found; at = at->ifa_next) {
            struct address address;
            found = is_advertisable(at, families[i]) &&
                    socket_address_to(at->ifa_addr, &address) == 0 &&
                    (!wanted || ip_equal(&address, wanted));
            if (found && ret)
                *ret = address;
        }
    }
    freeifaddrs(list);
    return found;
}

bool own_address_find(struct address *ret)
{
    return look(NULL, ret);
}

static void on_timer(uv_timer_t *timer)
{
    struct own_address *own = timer->data;
    struct peer *peer = own->peer;
    struct address *advertised = &peer->options.advertised, found;
    char before[ADDRESS_TEXT_BYTES], after[ADDRESS_TEXT_BYTES];
    uv_timer_start(timer, on_timer, grid_wait_ms(peer->loop, LOOK_MS), 0);
    if (peer->is_forgetting || look(advertised, NULL) || !own_address_find(&found))
        return;
    found.port = advertised->port;
    if (agent_readdress(peer->agent, peer_now_ms(peer), &found) < 0)
        return; /* no memory: the next time */
    address_format(advertised, before);
    address_format(&found, after);
    log_notice("this machine has no address %s any more: %s is advertised from now on", before,
               after);
    *advertised = found;
    peer_wake(peer);
}

struct own_address *own_address_new(struct peer *peer)
{
    struct own_address *own = calloc(1, sizeof(*own));
    if (!own)
        return NULL;
    own->peer = peer;
    uv_timer_init(peer->loop, &own->timer);
    own->timer.data = own;
    uv_timer_start(&own->timer, on_timer, 0, 0);
    return own;
}

void own_address_close(struct own_address *own)
{
    if (own)
        uv_close((uv_handle_t *)&own->timer, socket_free_owner);
}
