/* The machine's own resolver, as /etc/resolv.conf names it. */
#pragma once

#include <stdint.h>

/* The first IPv4 resolver of the file, in host order. -ENOENT if it names none, or what opening it
 * said. Lines that are too long or make no sense are passed over. */
int resolver_find(const char *path, uint32_t *ret_ip);
