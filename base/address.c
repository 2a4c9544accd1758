#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool address_equal(const struct address *a, const struct address *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool address_is_v4(const struct address *address)
{
    return memcmp(address->ip, v4_prefix, sizeof(v4_prefix)) == 0;
}

bool address_is_none(const struct address *address)
{
    return address->port == 0;
}

struct address address_from_v4(uint32_t host_order_ip, uint16_t port)
{
    struct address address = {.port = port};
    memcpy(address.ip, v4_prefix, sizeof(v4_prefix));
    for (int i = 0; i < 4; i++)
        address.ip[12 + i] = (uint8_t)(host_order_ip >> (24 - 8 * i));
    return address;
}

uint32_t address_to_v4(const struct address *address)
{
    uint32_t ip = 0;
    for (int i = 0; i < 4; i++)
        ip = ip << 8 | address->ip[12 + i];
    return ip;
}

void address_format(const struct address *address, char ret[ADDRESS_TEXT_BYTES])
{
    char ip[INET6_ADDRSTRLEN];
    bool v4 = address_is_v4(address);
    if (!inet_ntop(v4 ? AF_INET : AF_INET6, address->ip + (v4 ? 12 : 0), ip, sizeof(ip)))
        ip[0] = '\0';
    snprintf(ret, ADDRESS_TEXT_BYTES, v4 ? "%s:%u" : "[%s]:%u", ip, (unsigned)address->port);
}

static int parse_port(const char *text, uint16_t *ret)
{
    char *end;
    if (*text < '0' || *text > '9')
        return -EINVAL;
    unsigned long port = strtoul(text, &end, 10);
    if (*end || port == 0 || port > UINT16_MAX)
        return -EINVAL;
    *ret = (uint16_t)port;
    return 0;
}

static int parse_ip(const char *text, struct address *ret)
{
    uint8_t v4[4];
    if (inet_pton(AF_INET, text, v4) == 1) {
        memcpy(ret->ip, v4_prefix, sizeof(v4_prefix));
        memcpy(ret->ip + 12, v4, sizeof(v4));
        return 0;
    }
    return inet_pton(AF_INET6, text, ret->ip) == 1 ? 0 : -EINVAL;
}

int address_parse(const char *text, uint16_t default_port, struct address *ret)
{
    char host[INET6_ADDRSTRLEN];
    struct address address = {.port = default_port};
    const char *start = text, *end, *port = NULL;

    if (*text == '[') {
        start = text + 1;
        end = strchr(start, ']');
        if (!end || (end[1] && end[1] != ':'))
            return -EINVAL;
        if (end[1] == ':')
            port = end + 2;
    } else {
        const char *colon = strchr(text, ':');
        bool single_colon = colon && !strchr(colon + 1, ':');
        end = single_colon ? colon : text + strlen(text);
        port = single_colon ? colon + 1 : NULL;
    }
    if ((size_t)(end - start) >= sizeof(host))
        return -EINVAL;
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    if (parse_ip(host, &address) < 0 || (port && parse_port(port, &address.port) < 0))
        return -EINVAL;
    *ret = address;
    return 0;
}

void address_write(struct writer *writer, const struct address *address)
{
    uint8_t wire[18];
    memcpy(wire, address->ip, 16);
    wire[16] = (uint8_t)(address->port >> 8);
    wire[17] = (uint8_t)address->port;
    writer_binary(writer, wire, sizeof(wire));
}

int address_read(struct reader *reader, struct address *ret)
{
    uint8_t wire[18];
    if (reader_fixed(reader, wire, sizeof(wire)) < 0)
        return -EBADMSG;
    memcpy(ret->ip, wire, 16);
    ret->port = (uint16_t)(wire[16] << 8 | wire[17]);
    return 0;
}
