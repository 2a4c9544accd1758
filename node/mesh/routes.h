/* Who serves what: the mesh's own table, made from the intent and the view. Pure.
 *
 * Only replicas that shall run, run, are healthy and are on a peer that is alive are endpoints: a
 * suspected peer is out at once, and a replica that is to be stopped gets no new connections.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "base/reader.h"
#include "base/writer.h"
#include "consensus/intent.h"
#include "node/control/view.h"

struct endpoint {
    uint64_t generation;
    struct id peer;
};

struct route {
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    char stack[BASE_NAME_BYTES_MAX + 1];
    uint16_t virtual_ip; /* host part */
    struct spec_port *ports;
    size_t port_count;
    struct endpoint *endpoints; /* by generation */
    size_t endpoint_count;
    size_t next;                   /* whose turn it is */
    struct spec_network *networks; /* none if it is on its machine's own */
    size_t network_count;
    bool is_exclusive;
    struct in_addr server; /* of names that are not the cluster's; 0: the machine's */
};

struct routes {
    struct route *items; /* by service name */
    size_t count;
};

/* Makes a new table. -ENOMEM. */
int routes_make(const struct intent *intent, const struct view *view, struct routes *ret);
void routes_done(struct routes *routes);

/* The turns of `old` go on in `routes`. */
void routes_keep_turns(struct routes *routes, const struct routes *old);

/* Exclusive services have no endpoints any more. */
void routes_leave_out_exclusive(struct routes *routes);

/* For the mesh process (routes_codec.c). A failure is the reader's. */
void routes_write(struct writer *writer, const struct routes *routes);
void routes_read(struct reader *reader, struct routes *ret);

struct route *routes_by_name(const struct routes *routes, const char *service);
struct route *routes_by_virtual_ip(const struct routes *routes, uint16_t virtual_ip);

/* The service that has that address, without regard to its port, within the network. */
struct route *routes_by_address(const struct routes *routes, const char *network,
                                const struct address *address);

/* The service that publishes `port`, and the port inside its containers. */
struct route *routes_by_port(const struct routes *routes, uint16_t port, uint8_t protocol,
                             uint16_t *ret_target);

/* Whether they are on a network together. */
bool routes_share(const struct route *a, const struct route *b);

/* The names of the networks that both are on, in the asker's order, into an empty list; none for
 * the machine (NULL). -ENOMEM, and the list is empty then. */
int routes_in_common(const struct route *asker, const struct route *route, struct text_list *ret);

/* The service that a container of the service `asker` (NULL: the machine) means by a DNS name:
 * "web", "stack_web", "web.stack" or an alias, without regard to case. Only services count with
 * which it shares a network, and aliases on such a one. A short name means the own stack's service
 * first, then an alias; of other stacks only one that has the name alone. */
struct route *routes_by_dns_name(const struct routes *routes, const char *name,
                                 const struct route *asker);

/* The next endpoint in turn that is not among `tried`; NULL if there is none. */
const struct endpoint *route_next(struct route *route, const uint64_t *tried, size_t tried_count);
