#include "base/ula.h"

#include <string.h>

enum {
    SUBNET_AT = 6,
    IP4_AT = 12,
};

static const uint8_t prefix[ULA_PREFIX_BITS / 8] = {0xfd, 0x39, 0x80, 0x35, 0x57, 0xfb};

struct address ula_make(uint16_t subnet, uint32_t ip4)
{
    struct address ret = {0};
    memcpy(ret.ip, prefix, sizeof(prefix));
    ret.ip[SUBNET_AT] = (uint8_t)(subnet >> 8);
    ret.ip[SUBNET_AT + 1] = (uint8_t)subnet;
    for (unsigned i = 0; i < 4; i++)
        ret.ip[IP4_AT + i] = (uint8_t)(ip4 >> (24 - 8 * i));
    return ret;
}

bool ula_parse(const struct address *address, uint16_t *ret_subnet, uint32_t *ret_ip4)
{
    uint16_t subnet = (uint16_t)(address->ip[SUBNET_AT] << 8 | address->ip[SUBNET_AT + 1]);
    uint32_t ip4 = address_to_v4(address); /* stands where that of an IPv4 address does */
    const struct address same = ula_make(subnet, ip4);
    if (memcmp(same.ip, address->ip, sizeof(same.ip)) != 0)
        return false;
    *ret_subnet = subnet;
    *ret_ip4 = ip4;
    return true;
}
