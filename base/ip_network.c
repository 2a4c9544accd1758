#include "base/ip_network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    IP_BITS = 128,
    IP4_AT = 96, /* where the bits of an IPv4 address begin */
    BYTE_BITS = 8,
    PREFIX_DIGITS_MAX = 3,
};

int ip_parse(const char *text, struct address *ret)
{
    struct address address = {0};
    struct in_addr v4;
    if (inet_pton(AF_INET, text, &v4) == 1)
        address = address_from_v4(ntohl(v4.s_addr), 0);
    else if (inet_pton(AF_INET6, text, address.ip) != 1 || address_is_v4(&address))
        return -EINVAL;
    *ret = address;
    return 0;
}

void ip_format(const struct address *address, char ret[IP_TEXT_BYTES])
{
    bool is_v4 = address_is_v4(address);
    inet_ntop(is_v4 ? AF_INET : AF_INET6, address->ip + (is_v4 ? IP4_AT / BYTE_BITS : 0), ret,
              IP_TEXT_BYTES);
}

bool ip_equal(const struct address *a, const struct address *b)
{
    return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* The prefix as IPv6 counts it. */
static unsigned long_prefix(const struct ip_network *network)
{
    return network->prefix + (address_is_v4(&network->address) ? (unsigned)IP4_AT : 0u);
}

/* The bits behind the prefix, all set or none. */
static struct address fill(const struct ip_network *network, bool with)
{
    struct address ret = network->address;
    for (unsigned bit = long_prefix(network); bit < IP_BITS; bit++) {
        uint8_t mask = (uint8_t)(1u << (BYTE_BITS - 1 - bit % BYTE_BITS));
        if (with)
            ret.ip[bit / BYTE_BITS] |= mask;
        else
            ret.ip[bit / BYTE_BITS] &= (uint8_t)~mask;
    }
    return ret;
}

int ip_network_parse(const char *text, struct ip_network *ret)
{
    char ip[IP_TEXT_BYTES];
    const char *slash = strchr(text, '/');
    if (!slash || (size_t)(slash - text) >= sizeof(ip))
        return -EINVAL;
    memcpy(ip, text, (size_t)(slash - text));
    ip[slash - text] = '\0';
    struct ip_network network = {0};
    size_t digits = strspn(slash + 1, "0123456789");
    if (ip_parse(ip, &network.address) < 0 || digits == 0 || digits > PREFIX_DIGITS_MAX ||
        slash[1 + digits] != '\0')
        return -EINVAL;
    unsigned long prefix = strtoul(slash + 1, NULL, 10);
    if (prefix == 0 || prefix > (address_is_v4(&network.address) ? IP_BITS - IP4_AT : IP_BITS))
        return -EINVAL;
    network.prefix = (uint8_t)prefix;
    const struct address first = fill(&network, false);
    if (!ip_equal(&first, &network.address))
        return -EINVAL;
    *ret = network;
    return 0;
}

void ip_network_format(const struct ip_network *network, char ret[IP_NETWORK_TEXT_BYTES])
{
    char ip[IP_TEXT_BYTES];
    ip_format(&network->address, ip);
    snprintf(ret, IP_NETWORK_TEXT_BYTES, "%s/%u", ip, network->prefix);
}

bool ip_network_has(const struct ip_network *network, const struct address *address)
{
    if (address_is_v4(&network->address) != address_is_v4(address))
        return false;
    const struct ip_network same = {*address, network->prefix};
    const struct address first = fill(&same, false);
    return ip_equal(&first, &network->address);
}

bool ip_network_is_edge(const struct ip_network *network, const struct address *address)
{
    const struct address last = fill(network, true);
    if (long_prefix(network) + 1 >= IP_BITS)
        return false;
    return ip_equal(address, &network->address) ||
           (address_is_v4(address) && ip_equal(address, &last));
}

bool ip_is_in(const struct address *address, const char *const *networks)
{
    for (size_t i = 0; networks[i]; i++) {
        struct ip_network network;
        if (ip_network_parse(networks[i], &network) == 0 && ip_network_has(&network, address))
            return true;
    }
    return false;
}

bool ip_is_unicast(const struct address *address)
{
    static const char *const others[] = {
        "0.0.0.0/8",   "127.0.0.0/8", "169.254.0.0/16",
        "224.0.0.0/3", "::/96", /* unspecified, loopback, and the old form of IPv4 addresses */
        "fe80::/10",   "ff00::/8",    NULL};
    return !ip_is_in(address, others);
}
