/* Names for containers: the gateway's port 53 answers for services, and asks the machine's own
 * resolvers for everything else.
 *
 * A service's name has one address of each family, its virtual IP, wherever its replicas are; so
 * answers may be cached by whoever asks. UDP only: no answer here is larger than a packet.
 */
#pragma once

#include <uv.h>

#include "base/address.h"
#include "base/buffer.h"
#include "node/mesh/routes.h"

struct dns;
struct mesh;

enum {
    DNS_PACKET_BYTES_MAX = 4096,
    DNS_TTL_S = 5,
    DNS_FORWARDS_MAX = 256, /* questions passed on and not answered yet */
    DNS_FORWARD_MS = 3000,
};

/* 0 or a negative errno. */
int dns_open(struct mesh *mesh, const struct address *gateway, struct dns **ret);
uv_udp_t *dns_handle(struct dns *dns);
void dns_close(struct dns *dns); /* frees from the loop; NULL is accepted */

enum dns_outcome {
    DNS_IGNORED,  /* not a question: nothing is answered */
    DNS_ANSWERED, /* `answer` is to be sent */
    DNS_FOREIGN,  /* not a service's name: to be passed on */
};

/* Answers one question packet from a container of the service `asker` (NULL: from the machine).
 * `base` is the first address of the virtual range, in host order. Only with IPv6 here is there an
 * AAAA. Pure but for memory. */
enum dns_outcome dns_answer(const struct routes *routes, const struct route *asker, uint32_t base,
                            bool has_ipv6, struct bytes question, struct buffer *answer);

/* The same question, refused because nobody answered. */
void dns_fail(struct bytes question, struct buffer *answer);
