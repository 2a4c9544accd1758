/* The IPv6 addresses of containers and services, each made of its IPv4 address:
 *
 *     container   10.88.4.7    fd39:8035:57fb:4::a58:407       subnet: its network's block
 *     gateway     10.88.0.1    fd39:8035:57fb::a58:1
 *     virtual     10.97.0.3    fd39:8035:57fb:ffff::a61:3
 *
 * So whoever has an IPv4 address has this one, nobody hands it out, and it is kept nowhere. The 40
 * bits behind fd were drawn once at random (RFC 4193) and are the same everywhere, as 10.88.0.0/16
 * is: no packet leaves its machine under such an address.
 */
#pragma once

#include "base/address.h"

enum {
    ULA_PREFIX_BITS = 48,
    ULA_SUBNET_BITS = 64,
    ULA_GATEWAY_SUBNET = 0,
    ULA_VIRTUAL_SUBNET = 0xffff,
};

/* IPv4 addresses in host order. Subnet and port as they are. */
struct address ula_make(uint16_t subnet, uint32_t ip4);

/* False if it is not such an address; then nothing is written. */
bool ula_parse(const struct address *address, uint16_t *ret_subnet, uint32_t *ret_ip4);
