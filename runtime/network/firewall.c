#include "runtime/network/firewall.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "runtime/network/network_pool.h"

enum {
    DNS_PORT = 53,
};

struct subnet_text {
    char text[INET_ADDRSTRLEN + 4];
};

static struct subnet_text subnet_text(uint32_t network, uint8_t prefix)
{
    struct subnet_text ret;
    char address[INET_ADDRSTRLEN];
    struct in_addr in = {.s_addr = htonl(network)};
    inet_ntop(AF_INET, &in, address, sizeof(address));
    snprintf(ret.text, sizeof(ret.text), "%s/%u", address, prefix);
    return ret;
}

/* Runs commands in one transaction. `ret_output` (may be NULL) is freed by the caller. */
static int run(const char *commands, bool json, char **ret_output, struct error *error)
{
    struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!context)
        return error_set(error, -ENOMEM, "nftables: cannot open a connection to the kernel");
    nft_ctx_buffer_output(context);
    nft_ctx_buffer_error(context);
    if (json)
        nft_ctx_output_set_flags(context, NFT_CTX_OUTPUT_JSON);
    int result = nft_run_cmd_from_buffer(context, commands);
    if (result != 0)
        result = error_set(error, -EIO, "nftables: %s", nft_ctx_get_error_buffer(context));
    if (result == 0 && ret_output) {
        *ret_output = strdup(nft_ctx_get_output_buffer(context));
        result = *ret_output ? 0 : -ENOMEM;
    }
    nft_ctx_free(context);
    return result;
}

/* Each network's bridge with itself, and with its part of the subnet, for all that there may be. */
static void write_sets(struct buffer *commands, const struct firewall_config *config)
{
    uint8_t prefix = network_block_prefix(config->prefix);
    uint32_t count = 1u << (prefix - config->prefix);
    static const char *const marks[] = {"n", "ni"};
    for (int set = 0; set < 2; set++) {
        buffer_append_text(commands, set == 0 ? " set same { type ifname . ifname;\n  elements = {"
                                              : " set own { type ifname . ipv4_addr; "
                                                "flags interval;\n  elements = {");
        for (uint32_t i = 1; i < count; i++) {
            struct subnet_text block = subnet_text(config->network + (i << (32 - prefix)), prefix);
            for (size_t m = 0; m < array_count(marks); m++) {
                char bridge[32];
                snprintf(bridge, sizeof(bridge), "\"%s%s%x\"", config->bridge, marks[m], i);
                buffer_printf(commands, "%s %s . %s", i + m > 1 ? "," : "", bridge,
                              set == 0 ? bridge : block.text);
            }
        }
        buffer_append_text(commands, " }\n }\n");
    }
}

/* Networks are kept apart; an internal one has no way out but to the gateway's mesh and names. */
static void write_isolation(struct buffer *commands, const struct firewall_config *config)
{
    const char *bridge = config->bridge;
    buffer_printf(
        commands,
        " chain own_addresses { type filter hook prerouting priority raw; policy accept;\n"
        "  iifname \"%sn*\" iifname . ip saddr != @own drop\n }\n"
        " chain forward { type filter hook forward priority filter; policy accept;\n"
        "  iifname . oifname @same accept\n"
        "  iifname \"%sn*\" oifname \"%sn*\" drop\n"
        "  iifname \"%sni*\" drop\n"
        "  oifname \"%sni*\" drop\n"
        "  oifname \"%sn*\" ct state new drop\n }\n",
        bridge, bridge, bridge, bridge, bridge, bridge);
    buffer_printf(commands,
                  " chain input { type filter hook input priority filter; policy accept;\n"
                  "  iifname != \"%sni*\" accept\n"
                  "  ct state established,related accept\n"
                  "  meta l4proto { tcp, udp } th dport { %d, %d } accept\n"
                  "  ip daddr %s meta l4proto udp accept\n"
                  "  drop\n }\n",
                  bridge, DNS_PORT, config->mesh_port ? config->mesh_port : DNS_PORT,
                  subnet_text(config->virtual_network, config->virtual_prefix).text);
}

static void write_redirection(struct buffer *commands, const struct firewall_config *config)
{
    struct subnet_text virtual = subnet_text(config->virtual_network, config->virtual_prefix);
    char gateway[INET_ADDRSTRLEN];
    struct in_addr in = {.s_addr = htonl(config->gateway)};
    inet_ntop(AF_INET, &in, gateway, sizeof(gateway));
    buffer_printf(commands,
                  " chain prerouting { type nat hook prerouting priority dstnat;\n"
                  "  iifname \"%sn*\" ip daddr %s meta l4proto tcp dnat to %s:%u\n }\n"
                  " chain output { type nat hook output priority -100;\n"
                  "  ip daddr %s meta l4proto tcp dnat to %s:%u\n }\n",
                  config->bridge, virtual.text, gateway, config->mesh_port, virtual.text, gateway,
                  config->mesh_port);
}

static int write_table(struct buffer *commands, const struct firewall_config *config)
{
    buffer_append_text(commands, "table ip consort\n"
                                 "delete table ip consort\n"
                                 "table ip consort {\n");
    write_sets(commands, config);
    write_isolation(commands, config);
    buffer_printf(commands,
                  " chain postrouting { type nat hook postrouting priority srcnat;\n"
                  "  ip saddr %s oifname != \"%sn*\" masquerade\n }\n",
                  subnet_text(config->network, config->prefix).text, config->bridge);
    if (config->mesh_port != 0)
        write_redirection(commands, config);
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
    if (strcmp(family, "ip") != 0 && strcmp(family, "inet") != 0)
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
    if (run(command, false, &rules, NULL) < 0)
        return false;
    bool opened = rules && strstr(rules, "comment \"consort\"") != NULL;
    free(rules);
    return opened;
}

static int open_chain(const struct strict_chain *chain, const struct firewall_config *config,
                      struct error *error)
{
    char command[1024];
    if (chain->input)
        snprintf(
            command, sizeof(command),
            "insert rule %s %s %s iifname \"%sn*\" meta l4proto { tcp, udp } th dport { %d, %d }"
            " counter accept comment \"consort\"\n"
            "insert rule %s %s %s iifname \"%sn*\" ip daddr %s meta l4proto udp"
            " counter accept comment \"consort\"",
            chain->family, chain->table, chain->name, config->bridge, DNS_PORT,
            config->mesh_port ? config->mesh_port : DNS_PORT, chain->family, chain->table,
            chain->name, config->bridge,
            subnet_text(config->virtual_network, config->virtual_prefix).text);
    else
        snprintf(command, sizeof(command),
                 "insert rule %s %s %s iifname \"%sn*\" counter accept comment \"consort\"\n"
                 "insert rule %s %s %s oifname \"%sn*\" counter accept comment \"consort\"",
                 chain->family, chain->table, chain->name, config->bridge, chain->family,
                 chain->table, chain->name, config->bridge);
    log_notice("firewall: chain %s %s %s drops by default; letting %s pass", chain->family,
               chain->table, chain->name, config->bridge);
    return run(command, false, NULL, error);
}

/* Calls `each` for every strict chain until one answers with a negative number. */
static int each_strict_chain(int (*each)(const struct strict_chain *chain,
                                         const struct firewall_config *config, struct error *error),
                             const struct firewall_config *config, struct error *error)
{
    char *text = NULL;
    int result = run("list chains", true, &text, error);
    if (result < 0)
        return result;
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    const json_t *items = json_object_get(root, "nftables");
    size_t count = json_array_size(items);
    for (size_t i = 0; i < count && result >= 0; i++) {
        struct strict_chain chain;
        const json_t *item = json_object_get(json_array_get(items, i), "chain");
        if (item && strict_chain_of(item, &chain))
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
    buffer_init(&commands);
    if (write_table(&commands, config) < 0)
        return -ENOMEM;
    char *text = buffer_take_text(&commands);
    int result = text ? run(text, false, NULL, error) : -ENOMEM;
    free(text);
    if (result < 0)
        return result;
    return each_strict_chain(open_if_closed, config, error);
}

bool firewall_is_applied(const struct firewall_config *config)
{
    if (run("list chain ip consort postrouting", false, NULL, NULL) < 0)
        return false;
    return each_strict_chain(refuse_if_closed, config, NULL) == 0;
}

int firewall_remove(struct error *error)
{
    return run("table ip consort\ndelete table ip consort\n", false, NULL, error);
}
