/* The packet filter's part in addresses that services have within one network, beside their virtual
 * ones (a Compose file's ipv4_address).
 *
 * The tables `ip consort_addresses` and `ip6 consort_addresses` know a bridge with each address of
 * its network: TCP that comes in from there is redirected to the mesh, as to virtual addresses, and
 * all else is sent on to the service's virtual address. So what one network's containers mean by an
 * address is nothing to another's, nor to the machine.
 *
 * What is wanted is written on the loop's thread, and applied by whichever worker comes first: also
 * by one that is about to start a container, which so never runs without. With no such address
 * there are no tables.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/buffer.h"
#include "base/error.h"
#include "runtime/network/firewall.h"
#include "runtime/network/network_pool.h"

/* An address of a service. */
struct address_rule {
    char network[RUNTIME_NETWORK_NAME_MAX + 1];
    struct address address; /* port 0 */
    uint32_t virtual_ip;    /* the service's; host order */
};

struct address_rules;

struct address_rules *address_rules_new(void);
void address_rules_free(struct address_rules *rules); /* NULL is accepted */

/* The tables as text, of the networks that containers here are on: both bridges that a network may
 * have (network.h). Addresses of this machine's containers and virtual addresses are left out.
 * Pure but for memory. */
int address_rules_write(const struct firewall_config *config, const struct network_pool *pool,
                        const struct address_rule *items, size_t count, struct buffer *ret);

/* That is to be applied from now on; `text` passes. True if it differs from what was wanted. */
bool address_rules_want(struct address_rules *rules, char *text);

/* Applies it, unless it was, or there are no addresses and what is there is not known: then the
 * check does. Blocks shortly; any thread. */
int address_rules_apply(struct address_rules *rules, struct error *error);

/* As address_rules_apply(), also if somebody removed the tables meanwhile. */
int address_rules_check(struct address_rules *rules, struct error *error);

/* Removes the tables. For leaving a cluster. */
void address_rules_remove(void);
