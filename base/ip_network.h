/* A range of IP addresses, as files write one: "172.28.0.0/16", "2001:db8:1::/64". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"

enum {
    IP_NETWORK_TEXT_BYTES = 64, /* longest text form with the NUL */
    IP_TEXT_BYTES = 48,         /* of an address alone, without a port */
};

struct ip_network {
    struct address address; /* the first; port 0 */
    uint8_t prefix;         /* of its family's bits; at least 1 */
};

/* -EINVAL for anything else; also for a first address that is not the range's. */
int ip_network_parse(const char *text, struct ip_network *ret);
void ip_network_format(const struct ip_network *network, char ret[IP_NETWORK_TEXT_BYTES]);

bool ip_network_has(const struct ip_network *network, const struct address *address);

/* The range's first address, which stands for itself, or of IPv4 the last, which means all: nobody
 * has it. Ranges of one or two addresses have none such. */
bool ip_network_is_edge(const struct ip_network *network, const struct address *address);

/* An address without a port. -EINVAL. */
int ip_parse(const char *text, struct address *ret);
void ip_format(const struct address *address, char ret[IP_TEXT_BYTES]);
bool ip_equal(const struct address *a, const struct address *b);

/* Whether it is in one of those ranges, given as text; NULL ends them. */
bool ip_is_in(const struct address *address, const char *const *networks);

/* Whether one machine can have that address for others to reach: it is not unspecified, loopback,
 * link-local, multicast or for all; nor an IPv4 address in the clothes of another kind. */
bool ip_is_unicast(const struct address *address);
