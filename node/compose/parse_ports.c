/* ports and expose of a service */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/bounds.h"
#include "node/compose/parse.h"

static bool has_port(const struct service_spec *spec, unsigned long published, unsigned long target,
                     bool is_udp)
{
    for (size_t i = 0; i < spec->port_count; i++)
        if (spec->ports[i].published == published && spec->ports[i].target == target &&
            (spec->ports[i].protocol == SPEC_UDP) == is_udp)
            return true;
    return false;
}

static int add_port(struct parse *parse, const struct tree_node *node, struct service_spec *spec,
                    unsigned long published, unsigned long target, const char *protocol)
{
    if (target == 0 || target > UINT16_MAX || published > UINT16_MAX)
        return parse_fail(parse, node, "a port is a number from 1 to 65535");
    bool is_udp = strcasecmp(protocol, "udp") == 0;
    if (!is_udp && strcasecmp(protocol, "tcp") != 0)
        return parse_fail(parse, node, "the protocol %s is neither tcp nor udp", protocol);
    if (has_port(spec, published, target, is_udp))
        return 0; /* the same at another of a machine's addresses */
    if (spec->port_count == SPEC_LIST_ITEMS_MAX)
        return parse_fail(parse, node, "more than %d ports", SPEC_LIST_ITEMS_MAX);
    struct spec_port *ports = parse_grow(spec->ports, spec->port_count, sizeof(*ports));
    if (!ports)
        return -ENOMEM;
    spec->ports = ports;
    ports[spec->port_count++] =
        (struct spec_port){(uint16_t)published, (uint16_t)target, is_udp ? SPEC_UDP : SPEC_TCP};
    return 0;
}

/* Ports FIRST to LAST. */
struct range {
    unsigned long first, last;
};

/* "80" or "8000-8010"; `size` bytes of the text. */
static bool read_range(const char *text, size_t size, struct range *ret)
{
    char digits[16], *end;
    if (size == 0 || size >= sizeof(digits) || !isdigit((unsigned char)text[0]))
        return false;
    memcpy(digits, text, size);
    digits[size] = '\0';
    ret->first = ret->last = strtoul(digits, &end, 10);
    if (*end == '-' && isdigit((unsigned char)end[1]))
        ret->last = strtoul(end + 1, &end, 10);
    return *end == '\0' && ret->first > 0 && ret->first <= ret->last && ret->last <= UINT16_MAX;
}

/* As many ports of the one range as of the other; or one of many for a single target: the first. */
static int add_range(struct parse *parse, const struct tree_node *node, struct service_spec *spec,
                     const struct range *published, const struct range *target,
                     const char *protocol)
{
    unsigned long count = target->last - target->first + 1;
    bool is_choice = count == 1 && published && published->last > published->first;
    int rc = 0;
    if (is_choice)
        rc = parse_warn(parse, node, "of the ports to choose from, %lu is published",
                        published->first);
    else if (published && published->last - published->first + 1 != count)
        return parse_fail(parse, node, "%lu ports published for %lu in the container",
                          published->last - published->first + 1, count);
    for (unsigned long i = 0; i < count && rc == 0; i++)
        rc = add_port(parse, node, spec, published ? published->first + i : 0, target->first + i,
                      protocol);
    return rc;
}

/* An address that means all of a machine's. */
static bool is_everywhere(const char *address, size_t size)
{
    static const char *const words[] = {"", "0.0.0.0", "[::]", "::"};
    for (size_t i = 0; i < array_count(words); i++)
        if (strlen(words[i]) == size && strncmp(words[i], address, size) == 0)
            return true;
    return false;
}

/* "[HOST:][PUBLISHED:]TARGET[/PROTOCOL]"; each port may be a range. HOST may be an IPv6 address in
 * brackets. */
static int read_short_port(struct parse *parse, const struct tree_node *node,
                           struct service_spec *spec)
{
    if (node->type != TREE_SCALAR)
        return parse_fail(parse, node, "PUBLISHED:TARGET is expected, as in 8080:80");
    const char *text = node->text, *slash = strchr(text, '/');
    const char *protocol = slash ? slash + 1 : "tcp", *end = slash ? slash : text + strlen(text);
    const char *colon = memrchr(text, ':', (size_t)(end - text));
    const char *target_text = colon ? colon + 1 : text;
    const char *host_end = colon ? memrchr(text, ':', (size_t)(colon - text)) : NULL;
    const char *published_text = host_end ? host_end + 1 : text;
    bool is_chosen = colon && published_text < colon; /* "127.0.0.1::80" leaves it open */
    struct range published, target;
    if (!read_range(target_text, (size_t)(end - target_text), &target) ||
        (is_chosen && !read_range(published_text, (size_t)(colon - published_text), &published)) ||
        (colon && !is_chosen && !host_end))
        return parse_fail(parse, node, "%s: PUBLISHED:TARGET is expected, as in 8080:80", text);
    int rc = host_end && is_chosen && !is_everywhere(text, (size_t)(host_end - text))
                 ? parse_warn(parse, node,
                              "published on all of every peer's addresses, not on %.*s alone",
                              (int)(host_end - text), text)
                 : 0;
    return rc < 0 ? rc
                  : add_range(parse, node, spec, is_chosen ? &published : NULL, &target, protocol);
}

struct long_port {
    struct range target, published; /* 0: none */
    char *protocol;
};

static int read_port_range(struct parse *parse, const struct tree_node *node, struct range *ret)
{
    if (node->type != TREE_SCALAR || !read_range(node->text, strlen(node->text), ret))
        return parse_fail(parse, node, "a port from 1 to 65535 is expected, or a range");
    return 0;
}

static int port_target(struct parse *parse, const struct tree_node *node, void *port)
{
    return read_port_range(parse, node, &((struct long_port *)port)->target);
}

static int port_published(struct parse *parse, const struct tree_node *node, void *port)
{
    if (node->type == TREE_SCALAR && (!node->text[0] || strcmp(node->text, "0") == 0))
        return 0; /* Compose would choose one */
    return read_port_range(parse, node, &((struct long_port *)port)->published);
}

static int port_protocol(struct parse *parse, const struct tree_node *node, void *port)
{
    return parse_text(parse, node, &((struct long_port *)port)->protocol);
}

static int port_host(struct parse *parse, const struct tree_node *node, void *port)
{
    (void)port;
    if (node->type == TREE_SCALAR && is_everywhere(node->text, strlen(node->text)))
        return 0;
    return parse_warn(parse, node, "ignored: %s", parse_reason("host_ip"));
}

/* Every peer answers for every service; "host" would be a port of one machine's. */
static int port_mode(struct parse *parse, const struct tree_node *node, void *port)
{
    static const char *const modes[] = {"ingress", "host", NULL};
    uint8_t mode = 0;
    (void)port;
    int rc = parse_word(parse, node, modes, &mode);
    return rc < 0 || mode == 0
               ? rc
               : parse_warn(parse, node, "host is not supported by Consort: as ingress");
}

static int read_long_port(struct parse *parse, const struct tree_node *node,
                          struct service_spec *spec)
{
    static const struct parse_key keys[] = {
        {"target", port_target}, {"published", port_published},     {"protocol", port_protocol},
        {"mode", port_mode},     {"name", parse_pass_over}, /* for people alone */
        {"host_ip", port_host},  {"app_protocol", parse_pass_over}, {0}};
    struct long_port port = {0};
    int rc = parse_map(parse, node, keys, &port);
    if (rc == 0 && tree_is_null(tree_find(node, "target")))
        rc = parse_fail(parse, node, "a port needs a target");
    if (rc == 0)
        rc = add_range(parse, node, spec, port.published.first > 0 ? &port.published : NULL,
                       &port.target, port.protocol ? port.protocol : "tcp");
    free(port.protocol);
    return rc;
}

int read_ports(struct parse *parse, const struct tree_node *node, void *spec)
{
    int rc = node->type == TREE_LIST ? 0 : parse_fail(parse, node, "a list is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++)
        rc = node->children[i]->type == TREE_MAP ? read_long_port(parse, node->children[i], spec)
                                                 : read_short_port(parse, node->children[i], spec);
    return rc;
}

/* "53/udp": containers reach it at the service's virtual address. TCP ports are open there all. */
int read_expose(struct parse *parse, const struct tree_node *node, void *target)
{
    struct service_spec *spec = target;
    int rc = node->type == TREE_LIST ? 0 : parse_fail(parse, node, "a list is expected");
    for (size_t i = 0; i < node->count && rc == 0; i++) {
        const struct tree_node *item = node->children[i];
        char *end = NULL;
        unsigned long port = item->type == TREE_SCALAR ? strtoul(item->text, &end, 10) : 0;
        if (!end || !isdigit((unsigned char)item->text[0]) || (*end && *end != '/' && *end != '-'))
            return parse_fail(parse, item, "PORT[/PROTOCOL] is expected, as in 53/udp");
        bool is_udp = strcasecmp(end + strcspn(end, "/"), "/udp") == 0;
        if (is_udp && *end == '-')
            return parse_fail(parse, item, "a range of UDP ports: write one port an item");
        if (is_udp)
            rc = add_port(parse, item, spec, 0, port, "udp");
    }
    return rc;
}
