/* The machine's own resolver, as /etc/resolv.conf names it. */
#pragma once

#include "base/address.h"

/* The first resolver of the file, without its port; one with a scope ("fe80::1%eth0") is passed
 * over. -ENOENT if it names none, or what opening it said. Lines that are too long or make no sense
 * are passed over. */
int resolver_find(const char *path, struct address *ret);
