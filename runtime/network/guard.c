#include "runtime/network/guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/ula.h"
#include "runtime/network/netlink.h"
#include "runtime/network/nftables.h"

enum {
    MAC_KEY_BYTES = 8, /* a field of a key takes whole words */
    IP6_BYTES = 16,
    FIELD_BYTES_MAX = IP6_BYTES,
    BATCH_BYTES = 4096, /* six elements take less than 1,000 */
};

_Static_assert(sizeof(((struct guard_port *)0)->name) == IF_NAMESIZE, "a port's name");

/* What a set has beside a port's name: a port may use what stands in all of them. */
struct element {
    const char *set;
    uint8_t field[FIELD_BYTES_MAX];
    size_t size;
};

enum {
    ELEMENTS = 6,
};

/* RFC 4291, appendix A: what the kernel makes of the MAC. */
static void make_link_local(const uint8_t mac[NETLINK_MAC_BYTES], uint8_t ret[IP6_BYTES])
{
    const uint8_t ip[IP6_BYTES] = {0xfe,   0x80,          0,      0,      0,    0,    0,
                                   0,      mac[0] ^ 0x02, mac[1], mac[2], 0xff, 0xfe, mac[3],
                                   mac[4], mac[5]};
    memcpy(ret, ip, sizeof(ip));
}

static void make_elements(const struct guard_port *port, struct element ret[ELEMENTS])
{
    const struct address ula = ula_make(port->block, port->ip);
    uint32_t ip = htonl(port->ip);
    memset(ret, 0, ELEMENTS * sizeof(*ret));
    ret[0] = (struct element){.set = "macs", .size = MAC_KEY_BYTES};
    netlink_make_mac(port->ip, ret[0].field);
    ret[1] = (struct element){.set = "ips", .size = sizeof(ip)};
    memcpy(ret[1].field, &ip, sizeof(ip));
    for (size_t i = 2; i < ELEMENTS; i++) {
        ret[i] = (struct element){.set = i < 4 ? "ip6s" : "targets", .size = IP6_BYTES};
        if (i % 2 == 0)
            memcpy(ret[i].field, ula.ip, sizeof(ula.ip));
        else
            make_link_local(ret[0].field, ret[i].field);
    }
}

/* --- The table --- */

static void write_field(struct buffer *commands, const struct element *element)
{
    char text[INET6_ADDRSTRLEN];
    if (element->size == MAC_KEY_BYTES) {
        for (size_t i = 0; i < NETLINK_MAC_BYTES; i++)
            buffer_printf(commands, "%s%02x", i > 0 ? ":" : "", element->field[i]);
    } else if (strcmp(element->set, "targets") == 0) {
        buffer_append_text(commands, "0x");
        for (size_t i = 0; i < IP6_BYTES; i++)
            buffer_printf(commands, "%02x", element->field[i]);
    } else {
        inet_ntop(element->size == IP6_BYTES ? AF_INET6 : AF_INET, element->field, text,
                  sizeof(text));
        buffer_append_text(commands, text);
    }
}

static void write_set(struct buffer *commands, const char *set, const char *type,
                      const struct guard_port *ports, size_t count)
{
    buffer_printf(commands, " set %s { %s;\n", set, type);
    for (size_t i = 0; i < count; i++) {
        struct element elements[ELEMENTS];
        make_elements(&ports[i], elements);
        bool is_first = i == 0;
        for (size_t j = 0; j < ELEMENTS; j++) {
            if (strcmp(elements[j].set, set) != 0)
                continue;
            buffer_printf(commands, "%s \"%s\" . ", is_first ? "  elements = {" : ",",
                          ports[i].name);
            write_field(commands, &elements[j]);
            is_first = false;
        }
    }
    buffer_append_text(commands, count > 0 ? " }\n }\n" : " }\n");
}

static const char rules[] =
    " chain check {\n"
    "  iifname . ether saddr != @macs drop\n"
    "  ether type ip iifname . ip saddr @ips accept\n"
    "  ether type arp arp htype 1 arp ptype ip iifname . arp saddr ether @macs "
    "iifname . arp saddr ip @ips accept\n"
    "  ether type != ip6 drop\n"
    "  icmpv6 type { nd-router-advert, nd-redirect } drop\n"
    "  icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @targets drop\n"
    "  iifname . ip6 saddr @ip6s accept\n"
    "  ip6 saddr :: icmpv6 type { nd-neighbor-solicit, mld-listener-report, "
    "mld2-listener-report } accept\n"
    "  drop\n }\n";

int guard_apply(const char *bridge, const struct guard_port *ports, size_t count,
                struct error *error)
{
    cleanup_buffer struct buffer commands;
    buffer_init(&commands);
    buffer_append_text(&commands, "table bridge consort\n"
                                  "delete table bridge consort\n"
                                  "table bridge consort {\n");
    write_set(&commands, "macs", "type ifname . ether_addr", ports, count);
    write_set(&commands, "ips", "type ifname . ipv4_addr", ports, count);
    write_set(&commands, "ip6s", "type ifname . ipv6_addr", ports, count);
    write_set(&commands, "targets", "typeof meta iifname . @th,64,128", ports, count);
    buffer_append_text(&commands, rules);
    int result = buffer_printf(&commands,
                               " chain prerouting { type filter hook prerouting priority -300;\n"
                               "  iifname \"%s-*\" goto check\n"
                               "  iifname \"%s_*\" goto check\n }\n}\n",
                               bridge, bridge);
    cleanup_free char *text = result == 0 ? buffer_take_text(&commands) : NULL;
    return text ? nftables_run(text, false, NULL, error) : -ENOMEM;
}

bool guard_is_applied(void)
{
    return nftables_run("list chain bridge consort prerouting", false, NULL, NULL) == 0;
}

int guard_remove_table(void)
{
    return nftables_run("table bridge consort\ndelete table bridge consort\n", false, NULL, NULL);
}

/* --- A port --- */

/* libnftables takes milliseconds for what stands between a container and its first instruction, so
 * elements are written to the kernel as they are. */
static void put_head(struct mnl_nlmsg_batch *batch, uint16_t type, uint16_t flags, uint8_t family,
                     uint16_t subject, uint32_t sequence)
{
    struct nlmsghdr *head = mnl_nlmsg_put_header(mnl_nlmsg_batch_current(batch));
    head->nlmsg_type = type;
    head->nlmsg_flags = NLM_F_REQUEST | flags;
    head->nlmsg_seq = sequence;
    struct nfgenmsg *message = mnl_nlmsg_put_extra_header(head, sizeof(*message));
    message->nfgen_family = family;
    message->version = NFNETLINK_V0;
    message->res_id = htons(subject);
}

static void put_element(struct mnl_nlmsg_batch *batch, const struct guard_port *port,
                        const struct element *element)
{
    struct nlmsghdr *head = mnl_nlmsg_batch_current(batch);
    uint8_t key[IF_NAMESIZE + FIELD_BYTES_MAX];
    memcpy(key, port->name, IF_NAMESIZE);
    memcpy(key + IF_NAMESIZE, element->field, element->size);
    mnl_attr_put_strz(head, NFTA_SET_ELEM_LIST_TABLE, "consort");
    mnl_attr_put_strz(head, NFTA_SET_ELEM_LIST_SET, element->set);
    struct nlattr *list = mnl_attr_nest_start(head, NFTA_SET_ELEM_LIST_ELEMENTS);
    struct nlattr *item = mnl_attr_nest_start(head, NFTA_LIST_ELEM);
    struct nlattr *data = mnl_attr_nest_start(head, NFTA_SET_ELEM_KEY);
    mnl_attr_put(head, NFTA_DATA_VALUE, IF_NAMESIZE + element->size, key);
    mnl_attr_nest_end(head, data);
    mnl_attr_nest_end(head, item);
    mnl_attr_nest_end(head, list);
}

/* The kernel answers the element that it refused, or else the last. */
static int receive(struct mnl_socket *socket, uint8_t *bytes)
{
    ssize_t size;
    do
        size = mnl_socket_recvfrom(socket, bytes, BATCH_BYTES);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return -errno;
    const struct nlmsghdr *head = (const struct nlmsghdr *)(const void *)bytes;
    if (!mnl_nlmsg_ok(head, (int)size) || head->nlmsg_type != NLMSG_ERROR)
        return -EBADMSG;
    return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(head))->error;
}

static int change(const struct guard_port *port, uint16_t type, uint16_t flags)
{
    struct element elements[ELEMENTS];
    union {
        uint8_t bytes[BATCH_BYTES];
        struct nlmsghdr align;
    } memory;
    const uint16_t elements_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
    make_elements(port, elements);
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    struct mnl_nlmsg_batch *batch = mnl_nlmsg_batch_start(memory.bytes, sizeof(memory.bytes));
    int result = -ENOMEM;
    if (socket && batch) {
        put_head(batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, 0);
        mnl_nlmsg_batch_next(batch);
        for (uint32_t i = 0; i < ELEMENTS; i++) {
            bool is_last = i + 1 == ELEMENTS;
            put_head(batch, elements_type, flags | (is_last ? NLM_F_ACK : 0), NFPROTO_BRIDGE, 0,
                     i + 1);
            put_element(batch, port, &elements[i]);
            mnl_nlmsg_batch_next(batch);
        }
        put_head(batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, ELEMENTS + 1);
        mnl_nlmsg_batch_next(batch);
        result =
            mnl_socket_sendto(socket, mnl_nlmsg_batch_head(batch), mnl_nlmsg_batch_size(batch)) < 0
                ? -errno
                : receive(socket, memory.bytes);
    }
    if (batch)
        mnl_nlmsg_batch_stop(batch);
    if (socket)
        mnl_socket_close(socket);
    return result;
}

int guard_add(const struct guard_port *port)
{
    return change(port, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
}

int guard_remove(const struct guard_port *port)
{
    int result = change(port, NFT_MSG_DELSETELEM, 0);
    return result == -ENOENT ? 0 : result;
}
