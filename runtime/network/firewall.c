#include "runtime/network/firewall.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/ula.h"
#include "runtime/network/network_pool.h"
#include "runtime/network/nftables.h"

enum {
    DNS_PORT = 53,
    SUBNET_TEXT_BYTES = INET6_ADDRSTRLEN + 16, /* with brackets, and a prefix or a port */
};

/* What differs between the two families. */
struct family {
    const char *name;         /* "ip6": of the table, and of its addresses in rules */
    const char *address_type; /* "ipv6_addr" */
    char network[SUBNET_TEXT_BYTES], virtual_network[SUBNET_TEXT_BYTES];
    char mesh[SUBNET_TEXT_BYTES]; /* the gateway, as dnat wants it */
    bool is_v6;
};

static void format(const struct address *address, const char *before, const char *after,
                   unsigned number, char ret[SUBNET_TEXT_BYTES])
{
    bool is_v4 = address_is_v4(address);
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(is_v4 ? AF_INET : AF_INET6, address->ip + (is_v4 ? 12 : 0), text, sizeof(text));
    snprintf(ret, SUBNET_TEXT_BYTES, "%s%s%s%u", before, text, after, number);
}

static void ip4_family(const struct firewall_config *config, struct family *ret)
{
    const struct address network = address_from_v4(config->network, 0),
                         virtual = address_from_v4(config->virtual_network, 0),
                         gateway = address_from_v4(config->gateway, 0);
    *ret = (struct family){.name = "ip", .address_type = "ipv4_addr"};
    format(&network, "", "/", config->prefix, ret->network);
    format(&virtual, "", "/", config->virtual_prefix, ret->virtual_network);
    format(&gateway, "", ":", config->mesh_port, ret->mesh);
}

static void ip6_family(const struct firewall_config *config, struct family *ret)
{
    const struct address network = ula_make(0, 0), virtual = ula_make(ULA_VIRTUAL_SUBNET, 0),
                         gateway = ula_make(ULA_GATEWAY_SUBNET, config->gateway);
    *ret = (struct family){.name = "ip6", .address_type = "ipv6_addr", .is_v6 = true};
    format(&network, "", "/", ULA_PREFIX_BITS, ret->network);
    format(&virtual, "", "/", ULA_SUBNET_BITS, ret->virtual_network);
    format(&gateway, "[", "]:", config->mesh_port, ret->mesh);
}

uint16_t firewall_block(const struct firewall_config *config, uint32_t ip)
{
    return (uint16_t)((ip - config->network) >> (32 - network_block_prefix(config->prefix)));
}

static void block_text(const struct firewall_config *config, const struct family *family,
                       uint32_t block, char ret[SUBNET_TEXT_BYTES])
{
    uint8_t prefix = network_block_prefix(config->prefix);
    const struct address address =
        family->is_v6 ? ula_make((uint16_t)block, 0)
                      : address_from_v4(config->network + (block << (32 - prefix)), 0);
    format(&address, "", "/", family->is_v6 ? ULA_SUBNET_BITS : prefix, ret);
}

/* Each network's bridge with itself, and with its part of the subnet, for all that there may be. */
static void write_sets(struct buffer *commands, const struct firewall_config *config,
                       const struct family *family)
{
    uint32_t count = 1u << (network_block_prefix(config->prefix) - config->prefix);
    static const char *const marks[] = {"n", "ni"};
    for (int set = 0; set < 2; set++) {
        if (set == 0)
            buffer_append_text(commands, " set same { type ifname . ifname;\n  elements = {");
        else
            buffer_printf(commands, " set own { type ifname . %s; flags interval;\n  elements = {",
                          family->address_type);
        for (uint32_t i = 1; i < count; i++) {
            char block[SUBNET_TEXT_BYTES];
            block_text(config, family, i, block);
            for (size_t m = 0; m < array_count(marks); m++) {
                char bridge[32];
                snprintf(bridge, sizeof(bridge), "\"%s%s%x\"", config->bridge, marks[m], i);
                buffer_printf(commands, "%s %s . %s", i + m > 1 ? "," : "", bridge,
                              set == 0 ? bridge : block);
            }
        }
        buffer_append_text(commands, " }\n }\n");
    }
}

/* Networks are kept apart; an internal one has no way out but to the gateway's mesh and names. Of
 * IPv6, neighbours must be found, and link-local addresses are for nothing else. */
static void write_isolation(struct buffer *commands, const struct firewall_config *config,
                            const struct family *family)
{
    const char *bridge = config->bridge;
    buffer_append_text(
        commands,
        " chain own_addresses { type filter hook prerouting priority raw; policy accept;\n");
    if (family->is_v6)
        buffer_printf(commands, "  iifname \"%sn*\" ip6 saddr { ::, fe80::/10 } accept\n", bridge);
    buffer_printf(commands,
                  "  iifname \"%sn*\" iifname . %s saddr != @own drop\n }\n"
                  " chain forward { type filter hook forward priority filter; policy accept;\n"
                  "  iifname . oifname @same accept\n"
                  "  iifname \"%sn*\" oifname \"%sn*\" drop\n"
                  "  iifname \"%sni*\" drop\n"
                  "  oifname \"%sni*\" drop\n"
                  "  oifname \"%sn*\" ct state new drop\n }\n"
                  " chain input { type filter hook input priority filter; policy accept;\n",
                  bridge, family->name, bridge, bridge, bridge, bridge, bridge);
    if (family->is_v6)
        buffer_printf(
            commands,
            "  iifname \"%sn*\" ip6 saddr { ::, fe80::/10 } meta l4proto != ipv6-icmp drop\n"
            "  meta l4proto ipv6-icmp accept\n",
            bridge);
    buffer_printf(commands,
                  "  iifname != \"%sni*\" accept\n"
                  "  ct state established,related accept\n"
                  "  meta l4proto { tcp, udp } th dport { %d, %d } accept\n"
                  "  %s daddr %s meta l4proto udp accept\n"
                  "  drop\n }\n",
                  bridge, DNS_PORT, config->mesh_port ? config->mesh_port : DNS_PORT, family->name,
                  family->virtual_network);
}

static void write_redirection(struct buffer *commands, const struct firewall_config *config,
                              const struct family *family)
{
    buffer_printf(commands,
                  " chain prerouting { type nat hook prerouting priority dstnat;\n"
                  "  iifname \"%sn*\" %s daddr %s meta l4proto tcp dnat to %s\n }\n"
                  " chain output { type nat hook output priority -100;\n"
                  "  %s daddr %s meta l4proto tcp dnat to %s\n }\n",
                  config->bridge, family->name, family->virtual_network, family->mesh, family->name,
                  family->virtual_network, family->mesh);
}

static int write_table(struct buffer *commands, const struct firewall_config *config,
                       const struct family *family)
{
    buffer_printf(commands, "table %s consort\ndelete table %s consort\ntable %s consort {\n",
                  family->name, family->name, family->name);
    write_sets(commands, config, family);
    write_isolation(commands, config, family);
    buffer_printf(commands,
                  " chain postrouting { type nat hook postrouting priority srcnat;\n"
                  "  %s saddr %s oifname != \"%sn*\" masquerade\n }\n",
                  family->name, family->network, config->bridge);
    if (config->mesh_port != 0)
        write_redirection(commands, config, family);
    return buffer_append_text(commands, "}\n");
}

/* A base chain of somebody else's that drops what it does not know. */
struct strict_chain {
    const char *family;
    const char *table;
    const char *name;
    bool input; /* else forward */
};

static bool strict_chain_of(const json_t *chain, struct strict_chain *ret)
{
    const char *family = json_string_value(json_object_get(chain, "family"));
    const char *table = json_string_value(json_object_get(chain, "table"));
    const char *name = json_string_value(json_object_get(chain, "name"));
    const char *hook = json_string_value(json_object_get(chain, "hook"));
    const char *policy = json_string_value(json_object_get(chain, "policy"));
    if (!family || !table || !name || !hook || !policy || strcmp(policy, "drop") != 0)
        return false;
    if (strcmp(family, "ip") != 0 && strcmp(family, "ip6") != 0 && strcmp(family, "inet") != 0)
        return false;
    bool input = strcmp(hook, "input") == 0;
    if (!input && strcmp(hook, "forward") != 0)
        return false;
    *ret = (struct strict_chain){.family = family, .table = table, .name = name, .input = input};
    return true;
}

/* Tells whether a rule of ours is in the chain already. */
static bool chain_is_opened(const struct strict_chain *chain)
{
    char command[512];
    char *rules = NULL;
    snprintf(command, sizeof(command), "list chain %s %s %s", chain->family, chain->table,
             chain->name);
    if (nftables_run(command, false, &rules, NULL) < 0)
        return false;
    bool opened = rules && strstr(rules, "comment \"consort\"") != NULL;
    free(rules);
    return opened;
}

/* The mesh, names, virtual addresses of UDP, and in IPv6 what finds the gateway. */
static void open_input(struct buffer *commands, const char *insert, const struct family *family)
{
    buffer_printf(commands, "%s %s daddr %s meta l4proto udp counter accept comment \"consort\"\n",
                  insert, family->name, family->virtual_network);
    if (family->is_v6)
        buffer_printf(commands,
                      "%s icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } counter accept "
                      "comment \"consort\"\n",
                      insert);
}

static int open_chain(const struct strict_chain *chain, const struct firewall_config *config,
                      struct error *error)
{
    cleanup_buffer struct buffer commands;
    char rule[256], insert[320];
    struct family ip4, ip6;
    buffer_init(&commands);
    ip4_family(config, &ip4);
    ip6_family(config, &ip6);
    snprintf(rule, sizeof(rule), "insert rule %s %s %s", chain->family, chain->table, chain->name);
    snprintf(insert, sizeof(insert), "%s iifname \"%sn*\"", rule, config->bridge);
    if (chain->input) {
        buffer_printf(&commands,
                      "%s meta l4proto { tcp, udp } th dport { %d, %d } counter accept "
                      "comment \"consort\"\n",
                      insert, DNS_PORT, config->mesh_port ? config->mesh_port : DNS_PORT);
        if (strcmp(chain->family, "ip6") != 0)
            open_input(&commands, insert, &ip4);
        if (strcmp(chain->family, "ip") != 0 && config->has_ipv6)
            open_input(&commands, insert, &ip6);
    } else {
        buffer_printf(&commands,
                      "%s counter accept comment \"consort\"\n"
                      "%s oifname \"%sn*\" counter accept comment \"consort\"\n",
                      insert, rule, config->bridge);
    }
    log_notice("firewall: chain %s %s %s drops by default; letting %s pass", chain->family,
               chain->table, chain->name, config->bridge);
    cleanup_free char *text = buffer_take_text(&commands);
    return text ? nftables_run(text, false, NULL, error) : -ENOMEM;
}

/* Calls `each` for every strict chain until one answers with a negative number. */
static int each_strict_chain(int (*each)(const struct strict_chain *chain,
                                         const struct firewall_config *config, struct error *error),
                             const struct firewall_config *config, struct error *error)
{
    char *text = NULL;
    int result = nftables_run("list chains", true, &text, error);
    if (result < 0)
        return result;
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    const json_t *items = json_object_get(root, "nftables");
    size_t count = json_array_size(items);
    for (size_t i = 0; i < count && result >= 0; i++) {
        struct strict_chain chain;
        const json_t *item = json_object_get(json_array_get(items, i), "chain");
        if (item && strict_chain_of(item, &chain) &&
            (config->has_ipv6 || strcmp(chain.family, "ip6") != 0))
            result = each(&chain, config, error);
    }
    json_decref(root);
    return result;
}

static int open_if_closed(const struct strict_chain *chain, const struct firewall_config *config,
                          struct error *error)
{
    return chain_is_opened(chain) ? 0 : open_chain(chain, config, error);
}

static int refuse_if_closed(const struct strict_chain *chain, const struct firewall_config *config,
                            struct error *error)
{
    (void)config;
    (void)error;
    return chain_is_opened(chain) ? 0 : -ENOENT;
}

int firewall_apply(const struct firewall_config *config, struct error *error)
{
    cleanup_buffer struct buffer commands;
    struct family family;
    buffer_init(&commands);
    ip4_family(config, &family);
    int result = write_table(&commands, config, &family);
    ip6_family(config, &family);
    if (result == 0 && config->has_ipv6)
        result = write_table(&commands, config, &family);
    cleanup_free char *text = result == 0 ? buffer_take_text(&commands) : NULL;
    result = text ? nftables_run(text, false, NULL, error) : -ENOMEM;
    return result < 0 ? result : each_strict_chain(open_if_closed, config, error);
}

bool firewall_is_applied(const struct firewall_config *config)
{
    if (nftables_run("list chain ip consort postrouting", false, NULL, NULL) < 0)
        return false;
    if (config->has_ipv6 &&
        nftables_run("list chain ip6 consort postrouting", false, NULL, NULL) < 0)
        return false;
    return each_strict_chain(refuse_if_closed, config, NULL) == 0;
}

int firewall_remove(struct error *error)
{
    firewall_remove_ipv6();
    return nftables_run("table ip consort\ndelete table ip consort\n", false, NULL, error);
}

void firewall_remove_ipv6(void)
{
    nftables_run("table ip6 consort\ndelete table ip6 consort\n", false, NULL, NULL);
}
