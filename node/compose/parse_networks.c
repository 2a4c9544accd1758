/* networks, at the top level and of a service; network_mode, container_name and dns */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/bounds.h"
#include "gossip/certificate.h"
#include "node/compose/parse.h"

static const char default_key[] = "default";

/* --- The top level --- */

static int read_driver(struct parse *parse, const struct tree_node *node, void *target)
{
    (void)target;
    bool is_known = node->type == TREE_SCALAR &&
                    (strcmp(node->text, "bridge") == 0 || strcmp(node->text, "overlay") == 0);
    return is_known ? 0
                    : parse_warn(parse, node,
                                 "ignored: every network is a bridge at each peer, and the mesh "
                                 "between peers");
}

/* Names are asked for, and the mesh is reached, over IPv4. */
static int read_enable_ipv4(struct parse *parse, const struct tree_node *node, void *target)
{
    bool is_on;
    (void)target;
    int rc = parse_flag(parse, node, &is_on);
    return rc < 0 || is_on ? rc
                           : parse_warn(parse, node,
                                        "ignored: containers have IPv4 in every network, beside "
                                        "IPv6: their peer answers for names there alone");
}

/* Every network has both where the machine has; who wants less says so for its own containers. */
static int read_enable_ipv6(struct parse *parse, const struct tree_node *node, void *target)
{
    bool is_on;
    (void)target;
    int rc = parse_flag(parse, node, &is_on);
    return rc < 0 || is_on
               ? rc
               : parse_warn(
                     parse, node,
                     "ignored: containers have IPv6 wherever their machine has it; `sysctls: "
                     "{net.ipv6.conf.all.disable_ipv6: 1}` takes it from a service's");
}

static int check_network(struct parse *parse, const struct tree_node *node)
{
    static const struct parse_key keys[] = {{"name", parse_pass_over}, /* read where it is used */
                                            {"external", parse_pass_over},
                                            {"internal", parse_pass_over},
                                            {"attachable", parse_pass_over}, /* they all are */
                                            {"driver", read_driver},
                                            {"ipam", read_ipam},
                                            {"enable_ipv4", read_enable_ipv4},
                                            {"enable_ipv6", read_enable_ipv6},
                                            {"driver_opts", NULL},
                                            {"labels", NULL},
                                            {0}};
    return tree_is_null(node) ? 0 : parse_map(parse, node, keys, NULL);
}

int read_top_networks(struct parse *parse, const struct tree_node *node, void *target)
{
    int rc = node->type == TREE_MAP ? 0 : parse_fail(parse, node, "a map of networks is expected");
    (void)target;
    for (size_t i = 0; i < node->count && rc == 0; i++)
        if (strncmp(node->children[i]->key, "x-", 2) != 0)
            rc = check_network(parse, node->children[i]);
    return rc;
}

/* --- Names --- */

/* What the file's network `key` is called in the cluster. */
static int resolve(struct parse *parse, const struct tree_node *node, const char *key,
                   struct spec_network *ret)
{
    const struct tree_node *networks = tree_find(parse->root, "networks");
    const struct tree_node *network = tree_find(networks, key), *name = NULL;
    char text[SPEC_NETWORK_NAME_MAX + 2];
    bool is_external = false;
    int rc = parse_external(parse, network, &is_external, &name);
    if (rc == 0 && !network && strcmp(key, default_key) != 0)
        rc = parse_fail(parse, node, "there is no network %s at the top level", key);
    const struct tree_node *internal = tree_find(network, "internal");
    if (rc == 0 && !tree_is_null(internal))
        rc = parse_flag(parse, internal, &ret->internal);
    if (rc == 0)
        rc = parse_subnets(parse, network, ret);
    if (rc < 0)
        return rc;
    if (name && name->type == TREE_SCALAR)
        snprintf(text, sizeof(text), "%s", name->text);
    else if (is_external)
        snprintf(text, sizeof(text), "%s", key);
    else
        snprintf(text, sizeof(text), "%s_%s", parse->result->stack, key);
    if (!text[0] || strlen(text) > SPEC_NETWORK_NAME_MAX)
        return parse_fail(parse, name ? name : node, "a network's name has 1 to %d characters",
                          SPEC_NETWORK_NAME_MAX);
    ret->name = strdup(text);
    return ret->name ? 0 : -ENOMEM;
}

/* --- A service's --- */

static int read_aliases(struct parse *parse, const struct tree_node *node, void *target)
{
    struct spec_network *network = target;
    int rc = parse_list(parse, node, &network->aliases);
    if (rc == 0 && network->aliases.count > SPEC_ALIASES_MAX)
        rc = parse_fail(parse, node, "more than %d aliases", SPEC_ALIASES_MAX);
    for (size_t i = 0; i < network->aliases.count && rc == 0; i++)
        if (!network->aliases.items[i][0] ||
            strlen(network->aliases.items[i]) > BASE_NAME_BYTES_MAX)
            rc = parse_fail(parse, node, "an alias has 1 to %d characters", BASE_NAME_BYTES_MAX);
    return rc;
}

static int add_network(struct parse *parse, const struct tree_node *node, const char *key,
                       const struct tree_node *settings, struct service_spec *spec)
{
    static const struct parse_key keys[] = {{"aliases", read_aliases},
                                            {"ipv4_address", read_ipv4_address},
                                            {"ipv6_address", read_ipv6_address},
                                            {"priority", parse_pass_over}, /* read_rank() */
                                            {"gw_priority", parse_pass_over},
                                            {"interface_name", NULL},
                                            {"link_local_ips", NULL},
                                            {"mac_address", NULL},
                                            {"driver_opts", NULL},
                                            {0}};
    struct spec_network *grown = parse_grow(spec->networks, spec->network_count, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    spec->networks = grown;
    struct spec_network *network = &grown[spec->network_count++];
    int rc = resolve(parse, node, key, network);
    for (size_t i = 0; rc == 0 && i + 1 < spec->network_count; i++)
        if (strcmp(grown[i].name, network->name) == 0)
            rc = parse_fail(parse, node, "the network %s twice", network->name);
    if (rc < 0 || tree_is_null(settings))
        return rc;
    rc = parse_map(parse, settings, keys, network);
    const struct tree_node *top = tree_find(tree_find(parse->root, "networks"), key);
    return rc < 0 ? rc : parse_check_network_addresses(parse, settings, top, network);
}

/* A network's place among the service's: the first that leads to the world has the default route.
 */
struct rank {
    const struct tree_node *item;
    int32_t gateway, priority;
};

static int read_rank(struct parse *parse, const struct tree_node *item, struct rank *ret)
{
    const struct tree_node *gateway = tree_find(item, "gw_priority");
    const struct tree_node *priority = tree_find(item, "priority");
    *ret = (struct rank){.item = item};
    int rc = gateway ? parse_integer(parse, gateway, INT32_MIN, INT32_MAX, &ret->gateway) : 0;
    return rc < 0 || !priority
               ? rc
               : parse_integer(parse, priority, INT32_MIN, INT32_MAX, &ret->priority);
}

static bool goes_before(const struct rank *a, const struct rank *b)
{
    return a->gateway != b->gateway ? a->gateway > b->gateway : a->priority > b->priority;
}

/* The items by rank; those of the same as they stand. */
static int sort_networks(struct parse *parse, const struct tree_node *node,
                         struct rank ret[SPEC_NETWORKS_MAX])
{
    for (size_t i = 0; i < node->count; i++) {
        struct rank rank;
        size_t at = i;
        int rc = read_rank(parse, node->children[i], &rank);
        if (rc < 0)
            return rc;
        for (; at > 0 && goes_before(&rank, &ret[at - 1]); at--)
            ret[at] = ret[at - 1];
        ret[at] = rank;
    }
    return 0;
}

int read_networks(struct parse *parse, const struct tree_node *node, void *target)
{
    struct rank ranks[SPEC_NETWORKS_MAX];
    if (node->type == TREE_SCALAR)
        return parse_fail(parse, node, "a list or a map is expected");
    if (node->count > SPEC_NETWORKS_MAX)
        return parse_fail(parse, node->children[SPEC_NETWORKS_MAX], "more than %d networks",
                          SPEC_NETWORKS_MAX);
    int rc = sort_networks(parse, node, ranks);
    for (size_t i = 0; i < node->count && rc == 0; i++) {
        const struct tree_node *item = ranks[i].item;
        if (node->type == TREE_MAP)
            rc = add_network(parse, item, item->key, item, target);
        else if (item->type == TREE_SCALAR)
            rc = add_network(parse, item, item->text, NULL, target);
        else
            rc = parse_fail(parse, item, "a network's name is expected");
    }
    return rc;
}

/* "service:NAME", "container:NAME". Without it, traffic that is to go through the other (a VPN's)
 * would go past it: so it is no warning. */
static int fail_shared_network(struct parse *parse, const struct tree_node *node)
{
    const char *other = strchr(node->text, ':') + 1;
    parse_fail(parse, node,
               "replicas are placed one by one, maybe on different machines, so none can share the "
               "network of %.64s",
               other);
    error_hint(parse->error,
               "take network_mode away and reach %.64s by its name, on a network that both have; "
               "or, if all must pass through it, run both programs in one container",
               other);
    return -EINVAL;
}

/* Docker takes a network's name here, too. */
static bool is_network(const struct parse *parse, const struct tree_node *node)
{
    return node->type == TREE_SCALAR && tree_find(tree_find(parse->root, "networks"), node->text);
}

int read_network_mode(struct parse *parse, const struct tree_node *node, void *target)
{
    static const char *const modes[] = {"bridge", "none", "host", NULL};
    struct service_spec *spec = target;
    if (node->type == TREE_SCALAR && strcmp(node->text, "default") == 0)
        return 0; /* as Docker's, it is the bridge */
    if (node->type == TREE_SCALAR &&
        (strncmp(node->text, "service:", 8) == 0 || strncmp(node->text, "container:", 10) == 0))
        return fail_shared_network(parse, node);
    if (is_network(parse, node)) {
        parse_fail(parse, node, "%s is a network: write it under networks", node->text);
        error_hint(parse->error, "networks: [%.64s]", node->text);
        return -EINVAL;
    }
    return parse_word(parse, node, modes, &spec->network_mode);
}

int read_dns(struct parse *parse, const struct tree_node *node, void *target)
{
    struct text_list *servers = &((struct service_spec *)target)->servers;
    struct in_addr v4;
    struct in6_addr v6;
    size_t usable = 0;
    int rc = parse_list(parse, node, servers);
    for (size_t i = 0; i < servers->count && rc == 0; i++) {
        bool is_v4 = inet_pton(AF_INET, servers->items[i], &v4) == 1;
        usable += is_v4;
        if (!is_v4 && inet_pton(AF_INET6, servers->items[i], &v6) != 1)
            rc = parse_fail(parse, node, "%s is no address", servers->items[i]);
    }
    return rc == 0 && usable == 0 && servers->count > 0
               ? parse_warn(parse, node, "no IPv4 server among them: the machine's own is asked")
               : rc;
}

/* --- What hangs on several keys --- */

int parse_add_alias(struct parse *parse, const struct tree_node *node, const char *alias,
                    struct service_spec *spec)
{
    int rc = 0;
    if (spec->network_mode != SPEC_NETWORK_BRIDGE)
        return 0;
    if (spec->network_count == 0)
        rc = add_network(parse, node, default_key, NULL, spec);
    for (size_t i = 0; i < spec->network_count && rc == 0; i++) {
        struct text_list *aliases = &spec->networks[i].aliases;
        bool is_there = false;
        for (size_t j = 0; j < aliases->count; j++)
            is_there = is_there || strcmp(aliases->items[j], alias) == 0;
        if (is_there)
            continue;
        rc = aliases->count < SPEC_ALIASES_MAX
                 ? text_list_add(aliases, alias)
                 : parse_fail(parse, node, "more than %d aliases", SPEC_ALIASES_MAX);
    }
    return rc;
}

/* A name by which the container is known to whoever is on a network with it. */
static int add_container_name(struct parse *parse, const struct tree_node *node,
                              struct service_spec *spec)
{
    cleanup_free char *name = NULL;
    int rc = parse_text(parse, node, &name);
    if (rc < 0)
        return rc;
    if (strlen(name) > BASE_NAME_BYTES_MAX)
        return parse_fail(parse, node, "a container's name has 1 to %d characters",
                          BASE_NAME_BYTES_MAX);
    if (spec->replicas > 1 && spec->mode == SPEC_REPLICATED)
        return parse_fail(parse, node,
                          "a service with several replicas can't have a container's "
                          "name; leave it out: the service's name means them all");
    return parse_add_alias(parse, node, name, spec);
}

int parse_service_networks(struct parse *parse, const struct tree_node *node,
                           struct service_spec *spec)
{
    const struct tree_node *mode = tree_find(node, "network_mode");
    const struct tree_node *name = tree_find(node, "container_name");
    const struct tree_node *top = tree_find(tree_find(parse->root, "networks"), default_key);
    bool is_bridged = spec->network_mode == SPEC_NETWORK_BRIDGE;
    int rc = 0;
    if (mode && mode->type == TREE_SCALAR && !mode->text[0])
        mode = NULL;
    if (name && name->type == TREE_SCALAR && !name->text[0])
        name = NULL;
    if (!tree_is_null(mode) && spec->network_count > 0)
        return parse_fail(parse, mode, "network_mode and networks exclude each other");
    if (is_bridged && spec->network_count == 0 && (!tree_is_null(top) || !tree_is_null(name)))
        rc = add_network(parse, node, default_key, NULL, spec);
    return rc < 0 || tree_is_null(name) ? rc : add_container_name(parse, name, spec);
}
