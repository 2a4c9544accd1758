#include "runtime/network/address_rules.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/ip_network.h"
#include "base/log.h"
#include "base/ula.h"
#include "runtime/network/conntrack.h"
#include "runtime/network/nftables.h"

struct address_rules {
    pthread_mutex_t lock;
    char *wanted;  /* NULL: nobody has said yet, and what is there stays */
    char *applied; /* NULL: not known */
};

struct address_rules *address_rules_new(void)
{
    struct address_rules *rules = calloc(1, sizeof(*rules));
    if (rules)
        pthread_mutex_init(&rules->lock, NULL);
    return rules;
}

void address_rules_free(struct address_rules *rules)
{
    if (!rules)
        return;
    pthread_mutex_destroy(&rules->lock);
    free(rules->wanted);
    free(rules->applied);
    free(rules);
}

/* --- The text --- */

/* The block of the network, 0: no container here is on it. */
static size_t find_block(const struct network_pool *pool, const char *network)
{
    for (size_t i = 1; i < pool->block_count; i++)
        if (pool->blocks[i].name && strcmp(pool->blocks[i].name, network) == 0)
            return i;
    return 0;
}

/* Whether the machine itself needs it for something else: a peer may have ranges of its own. */
static bool is_own(const struct firewall_config *config, const struct address *address)
{
    const struct ip_network containers = {address_from_v4(config->network, 0), config->prefix},
                            virtual = {address_from_v4(config->virtual_network, 0),
                                       config->virtual_prefix};
    return ip_network_has(&containers, address) || ip_network_has(&virtual, address);
}

static bool is_used(const struct firewall_config *config, const struct network_pool *pool,
                    const struct address_rule *item, bool is_v4)
{
    return address_is_v4(&item->address) == is_v4 && !is_own(config, &item->address) &&
           find_block(pool, item->network) > 0;
}

/* The elements for one address: each bridge with it and, in the map, with where that leads. */
static void write_elements(struct buffer *ret, const struct firewall_config *config,
                           const struct network_pool *pool, const struct address_rule *item,
                           bool is_map)
{
    static const char *const marks[] = {"n", "ni"};
    char address[IP_TEXT_BYTES], virtual[IP_TEXT_BYTES];
    const struct address leads_to = address_is_v4(&item->address)
                                        ? address_from_v4(item->virtual_ip, 0)
                                        : ula_make(ULA_VIRTUAL_SUBNET, item->virtual_ip);
    ip_format(&item->address, address);
    ip_format(&leads_to, virtual);
    for (size_t i = 0; i < array_count(marks); i++)
        buffer_printf(ret, "   \"%s%s%x\" . %s%s%s,\n", config->bridge, marks[i],
                      (unsigned)find_block(pool, item->network), address, is_map ? " : " : "",
                      is_map ? virtual : "");
}

static void write_set(struct buffer *ret, const struct firewall_config *config,
                      const struct network_pool *pool, const struct address_rule *items,
                      size_t count, bool is_v4, bool is_map)
{
    const char *type = is_v4 ? "ipv4_addr" : "ipv6_addr";
    buffer_printf(ret, " %s { type ifname . %s%s%s;\n  elements = {\n",
                  is_map ? "map leads_to" : "set chosen", type, is_map ? " : " : "",
                  is_map ? type : "");
    for (size_t i = 0; i < count; i++)
        if (is_used(config, pool, &items[i], is_v4))
            write_elements(ret, config, pool, &items[i], is_map);
    buffer_append_text(ret, "  }\n }\n");
}

/* Before the chain of `ip consort`, and on its own: neither is made anew with the other. */
static void write_table(struct buffer *ret, const struct firewall_config *config,
                        const struct network_pool *pool, const struct address_rule *items,
                        size_t count, bool is_v4)
{
    const char *family = is_v4 ? "ip" : "ip6";
    const struct address gateway =
        is_v4 ? address_from_v4(config->gateway, 0) : ula_make(ULA_GATEWAY_SUBNET, config->gateway);
    char mesh[IP_TEXT_BYTES];
    bool is_empty = true;
    ip_format(&gateway, mesh);
    for (size_t i = 0; i < count; i++)
        is_empty = is_empty && !is_used(config, pool, &items[i], is_v4);
    buffer_printf(ret, "table %s consort_addresses\ndelete table %s consort_addresses\n", family,
                  family);
    if (is_empty)
        return;
    buffer_printf(ret, "table %s consort_addresses {\n", family);
    write_set(ret, config, pool, items, count, is_v4, false);
    write_set(ret, config, pool, items, count, is_v4, true);
    buffer_printf(ret,
                  " chain prerouting { type nat hook prerouting priority -101;\n"
                  "  meta l4proto tcp iifname . %s daddr @chosen dnat to %s%s%s:%u\n"
                  "  meta l4proto != tcp dnat to iifname . %s daddr map @leads_to\n }\n}\n",
                  family, is_v4 ? "" : "[", mesh, is_v4 ? "" : "]", config->mesh_port, family);
}

int address_rules_write(const struct firewall_config *config, const struct network_pool *pool,
                        const struct address_rule *items, size_t count, struct buffer *ret)
{
    size_t used = config->mesh_port != 0 ? count : 0; /* without a mesh they lead nowhere */
    write_table(ret, config, pool, items, used, true);
    if (config->has_ipv6)
        write_table(ret, config, pool, items, used, false);
    return buffer_append_text(ret, "");
}

/* --- Applying it --- */

bool address_rules_want(struct address_rules *rules, char *text)
{
    pthread_mutex_lock(&rules->lock);
    bool is_new = !rules->wanted || strcmp(rules->wanted, text) != 0;
    free(rules->wanted);
    rules->wanted = text;
    pthread_mutex_unlock(&rules->lock);
    return is_new;
}

/* What was applied, and what is now; either may be NULL. */
struct change {
    const char *before, *now;
};

static bool is_named(const char *rules, const char *ip)
{
    char element[IP_TEXT_BYTES + 8];
    snprintf(element, sizeof(element), "\" . %s : ", ip); /* of the map */
    return rules && strstr(rules, element);
}

static bool is_concerned(const void *context, const struct address *to)
{
    const struct change *change = context;
    char ip[IP_TEXT_BYTES];
    ip_format(to, ip);
    return is_named(change->before, ip) || is_named(change->now, ip);
}

static int apply_locked(struct address_rules *rules, struct error *error)
{
    if (!rules->wanted || (rules->applied && strcmp(rules->applied, rules->wanted) == 0))
        return 0;
    char *text = strdup(rules->wanted);
    int rc = text ? nftables_run(text, false, NULL, error) : -ENOMEM;
    const struct change change = {rules->applied, text};
    if (rc == 0) { /* else who sends on and on would not come to where it is sent now */
        int forgotten = conntrack_forget_udp(is_concerned, &change);
        if (forgotten < 0)
            log_limited(LOG_WARNING,
                        "network: flows of UDP to a service's address may go on where they went "
                        "before: %s",
                        strerror(-forgotten));
    }
    free(rules->applied);
    rules->applied = rc < 0 ? NULL : text;
    if (rc < 0)
        free(text);
    return rc;
}

/* What an earlier daemon may have left can wait: while this one starts, there is more to do. */
static bool can_wait(const struct address_rules *rules)
{
    return !rules->applied && rules->wanted && !strstr(rules->wanted, "elements");
}

int address_rules_apply(struct address_rules *rules, struct error *error)
{
    pthread_mutex_lock(&rules->lock);
    int rc = can_wait(rules) ? 0 : apply_locked(rules, error);
    pthread_mutex_unlock(&rules->lock);
    return rc;
}

/* Whether the tables are there that the text makes. */
static bool is_there(const char *text)
{
    return (!strstr(text, "table ip consort_addresses {") ||
            nftables_run("list chain ip consort_addresses prerouting", false, NULL, NULL) >= 0) &&
           (!strstr(text, "table ip6 consort_addresses {") ||
            nftables_run("list chain ip6 consort_addresses prerouting", false, NULL, NULL) >= 0);
}

int address_rules_check(struct address_rules *rules, struct error *error)
{
    pthread_mutex_lock(&rules->lock);
    if (rules->applied && !is_there(rules->applied)) {
        log_warning("network: somebody removed the rules of services' addresses; restoring them");
        free(rules->applied);
        rules->applied = NULL;
    }
    int rc = apply_locked(rules, error);
    pthread_mutex_unlock(&rules->lock);
    return rc;
}

void address_rules_remove(void)
{
    nftables_run("table ip consort_addresses\ndelete table ip consort_addresses\n", false, NULL,
                 NULL);
    nftables_run("table ip6 consort_addresses\ndelete table ip6 consort_addresses\n", false, NULL,
                 NULL);
}
