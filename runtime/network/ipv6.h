/* The kernel's settings for IPv6 (/proc/sys/net/ipv6), in the calling thread's network namespace.
 */
#pragma once

#include <stdbool.h>

/* False if the machine's operator turned IPv6 off, or its kernel has none. */
bool ipv6_is_on(void);

/* Sets net.ipv6.conf.INTERFACE.KEY; 0 or a negative errno. */
int ipv6_set(const char *interface, const char *key, const char *value);

/* Lets packets pass from one interface to another. A machine that forwards takes no more router
 * advertisements, so interfaces that took them are told to go on: else the machine would lose its
 * own default route soon after. */
int ipv6_enable_forwarding(void);

/* In a new namespace: what its interfaces will do. Without IPv6 they get none, save loopback. */
void ipv6_prepare_namespace(bool has_ipv6);
