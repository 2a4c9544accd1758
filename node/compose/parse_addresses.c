/* A network's ipam, and the addresses that services choose in it: ipv4_address, ipv6_address. */
#include <errno.h>
#include <string.h>

#include "base/ip_network.h"
#include "node/compose/parse.h"

/* --- ipam --- */

static int subnet_of(struct parse *parse, const struct tree_node *node, struct ip_network *ret)
{
    bool is_read = node->type == TREE_SCALAR && ip_network_parse(node->text, ret) == 0;
    return is_read ? 0
                   : parse_fail(parse, node,
                                "a range of addresses is expected, by its first one, as "
                                "172.28.0.0/16");
}

static int read_subnet(struct parse *parse, const struct tree_node *node, void *target)
{
    struct ip_network subnet;
    (void)target;
    int rc = subnet_of(parse, node, &subnet);
    return rc < 0 ? rc
                  : parse_warn(parse, node,
                               "what services have by ipv4_address and ipv6_address is of this "
                               "range; the addresses that containers see as their own are each "
                               "peer's");
}

static int read_gateway(struct parse *parse, const struct tree_node *node, void *target)
{
    struct address address;
    (void)target;
    if (node->type != TREE_SCALAR || ip_parse(node->text, &address) < 0)
        return parse_fail(parse, node, "an address is expected");
    return parse_warn(parse, node,
                      "nobody answers at this address: each peer's containers have their own "
                      "way out");
}

static int read_ipam_config(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {{"subnet", read_subnet},
                                            {"gateway", read_gateway},
                                            /* what is not chosen is of no such range anyway */
                                            {"ip_range", parse_pass_over},
                                            {"aux_addresses", parse_pass_over},
                                            {0}};
    int rc = node->type == TREE_LIST ? 0 : parse_fail(parse, node, "a list is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++)
        rc = parse_map(parse, node->children[i], keys, target);
    return rc;
}

int read_ipam(struct parse *parse, const struct tree_node *node, void *target)
{
    static const struct parse_key keys[] = {
        {"driver", parse_pass_over}, {"config", read_ipam_config}, {"options", NULL}, {0}};
    return tree_is_null(node) ? 0 : parse_map(parse, node, keys, target);
}

static const struct tree_node *config_of(const struct tree_node *network)
{
    return tree_find(tree_find(network, "ipam"), "config");
}

int parse_subnets(struct parse *parse, const struct tree_node *network, struct spec_network *ret)
{
    const struct tree_node *config = config_of(network);
    for (size_t i = 0; config && i < config->count; i++) {
        const struct tree_node *node = tree_find(config->children[i], "subnet");
        struct ip_network subnet;
        char text[IP_NETWORK_TEXT_BYTES];
        int rc = tree_is_null(node) ? 0 : subnet_of(parse, node, &subnet);
        if (rc == 0 && !tree_is_null(node)) {
            if (ret->subnets.count == SPEC_SUBNETS_MAX)
                return parse_fail(parse, node, "more than %d subnets", SPEC_SUBNETS_MAX);
            ip_network_format(&subnet, text);
            rc = text_list_add(&ret->subnets, text);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* --- A service's --- */

static int read_address(struct parse *parse, const struct tree_node *node, bool is_v4,
                        struct spec_network *network)
{
    struct address address;
    if (node->type != TREE_SCALAR || ip_parse(node->text, &address) < 0 ||
        address_is_v4(&address) != is_v4)
        return parse_fail(parse, node, "an IPv%c address is expected", is_v4 ? '4' : '6');
    if (!ip_is_unicast(&address))
        return parse_fail(parse, node,
                          "%s can't be a service's: it is nobody's, everybody's or each "
                          "machine's own",
                          node->text);
    if (!spec_address_is_valid(&address))
        return parse_fail(parse, node,
                          "%s is of the ranges that Consort hands out itself: 10.88.0.0/16 and "
                          "fd39:8035:57fb::/48 to containers, 10.97.0.0/16 to services; choose "
                          "another",
                          node->text);
    if (network->address_count == SPEC_ADDRESSES_MAX) /* one of each family fits */
        return parse_fail(parse, node, "more than %d addresses", SPEC_ADDRESSES_MAX);
    network->addresses[network->address_count++] = address;
    return 0;
}

int read_ipv4_address(struct parse *parse, const struct tree_node *node, void *target)
{
    return read_address(parse, node, true, target);
}

int read_ipv6_address(struct parse *parse, const struct tree_node *node, void *target)
{
    return read_address(parse, node, false, target);
}

/* That it is not the gateway's, nor the first or last, of the subnet that it is in. */
static int check_in_subnet(struct parse *parse, const struct tree_node *node,
                           const struct tree_node *item, const struct ip_network *subnet,
                           const struct address *address)
{
    const struct tree_node *gateway = tree_find(item, "gateway");
    struct address other;
    char range[IP_NETWORK_TEXT_BYTES];
    ip_network_format(subnet, range);
    if (ip_network_is_edge(subnet, address))
        parse_fail(parse, node, "%s stands for all of the subnet: nobody has it", node->text);
    else if (gateway && gateway->type == TREE_SCALAR && ip_parse(gateway->text, &other) == 0 &&
             ip_equal(&other, address))
        parse_fail(parse, node, "%s is the network's gateway (line %u)", node->text, gateway->line);
    else
        return 0;
    error_hint(parse->error, "choose another address of %s", range);
    return -EINVAL;
}

/* A file says so, as Docker wants it; of an external network another file does. */
static int check_family(struct parse *parse, const struct tree_node *node,
                        const struct tree_node *network, const struct address *address)
{
    const struct tree_node *enabled = tree_find(network, "enable_ipv6"), *name;
    bool is_external = false, is_on = false;
    int rc = parse_external(parse, network, &is_external, &name);
    if (rc == 0 && !tree_is_null(enabled))
        rc = parse_flag(parse, enabled, &is_on);
    if (rc < 0 || address_is_v4(address) || is_external || is_on)
        return rc;
    parse_fail(parse, node, "the network %s has no IPv6", network ? network->key : "default");
    error_hint(parse->error, "give the network, at the top level: enable_ipv6: true");
    return -EINVAL;
}

static int check_address(struct parse *parse, const struct tree_node *node,
                         const struct tree_node *network, const struct address *address)
{
    const struct tree_node *config = config_of(network), *first = NULL;
    int rc = check_family(parse, node, network, address);
    if (rc < 0)
        return rc;
    for (size_t i = 0; config && i < config->count; i++) {
        const struct tree_node *item = tree_find(config->children[i], "subnet");
        struct ip_network subnet;
        if (!item || item->type != TREE_SCALAR || ip_network_parse(item->text, &subnet) < 0 ||
            address_is_v4(&subnet.address) != address_is_v4(address))
            continue;
        if (ip_network_has(&subnet, address))
            return check_in_subnet(parse, node, config->children[i], &subnet, address);
        first = first ? first : item;
    }
    if (first) {
        parse_fail(parse, node, "%s is not in the network's subnet %s (line %u)", node->text,
                   first->text, first->line);
        error_hint(parse->error, "choose an address of %s, or give the network a subnet more",
                   first->text);
        return -EINVAL;
    }
    return parse_warn(parse, node,
                      "the network has no subnet that it is in (ipam, config): it is reached by "
                      "those containers alone whose way to the world is over this network");
}

int parse_check_network_addresses(struct parse *parse, const struct tree_node *settings,
                                  const struct tree_node *network, const struct spec_network *spec)
{
    int rc = 0;
    for (size_t i = 0; i < spec->address_count && rc == 0; i++) {
        const struct address *address = &spec->addresses[i];
        const char *key = address_is_v4(address) ? "ipv4_address" : "ipv6_address";
        rc = check_address(parse, tree_find(settings, key), network, address);
    }
    return rc;
}

/* --- All services' --- */

/* Where the service says that address; its own place, if nowhere. */
static const struct tree_node *find_address(const struct parse *parse, const char *service,
                                            const struct address *address)
{
    const struct tree_node *node = tree_find(tree_find(parse->root, "services"), service);
    const struct tree_node *networks = tree_find(node, "networks");
    const char *key = address_is_v4(address) ? "ipv4_address" : "ipv6_address";
    for (size_t i = 0; networks && i < networks->count; i++) {
        const struct tree_node *item = tree_find(networks->children[i], key);
        struct address said;
        if (item && item->type == TREE_SCALAR && ip_parse(item->text, &said) == 0 &&
            ip_equal(&said, address))
            return item;
    }
    return node;
}

static int say_twice(struct parse *parse, const struct tree_node *node, const char *other,
                     const struct tree_node *earlier, const char *network)
{
    bool is_elsewhere = node->source != earlier->source;
    parse_fail(parse, node, "the service %s has this address in the network %s, too (%s%s%u)",
               other, network, is_elsewhere ? earlier->source->path : "line",
               is_elsewhere ? ":" : " ", earlier->line);
    error_hint(parse->error, "give one of them another; what is to share one is one service of "
                             "several replicas");
    return -EINVAL;
}

int parse_check_addresses(struct parse *parse)
{
    const struct compose_result *result = parse->result;
    for (size_t i = 0; i < result->service_count; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct service_spec *spec = &result->services[i], *other = &result->services[j];
            const struct address *address;
            const struct spec_network *network = spec_addresses_clash(spec, other, &address);
            if (!network)
                continue;
            return say_twice(parse, find_address(parse, spec->name, address), other->name,
                             find_address(parse, other->name, address), network->name);
        }
    }
    return 0;
}
