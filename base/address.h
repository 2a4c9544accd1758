/* An IP address and port as plain bytes, so that the pure parts can hold one without a socket.
 *
 * IPv4 stands as an IPv4-mapped IPv6 address. Text forms: "192.0.2.7:7300", "[2001:db8::7]:7300".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/reader.h"
#include "base/writer.h"

enum {
    ADDRESS_TEXT_BYTES = 56, /* longest text form with the NUL */
};

struct address {
    uint8_t ip[16];
    uint16_t port; /* host order; 0 means no address */
};

bool address_equal(const struct address *a, const struct address *b);
bool address_is_v4(const struct address *address);
bool address_is_none(const struct address *address);
struct address address_from_v4(uint32_t host_order_ip, uint16_t port);

/* The IPv4 address in host order; of an IPv6 address, its last 32 bits. */
uint32_t address_to_v4(const struct address *address);

void address_format(const struct address *address, char ret[ADDRESS_TEXT_BYTES]);

/* Parses "IP:PORT", "[IP6]:PORT", or an IP alone, which gets `default_port`. -EINVAL for anything
 * else; names are not looked up. */
int address_parse(const char *text, uint16_t default_port, struct address *ret);

/* On the wire: 18 bytes of binary, the port last in network order. */
void address_write(struct writer *writer, const struct address *address);
int address_read(struct reader *reader, struct address *ret);
