#include "runtime/network/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>

enum {
    ANSWER_BYTES = 32768,  /* what the kernel puts into one part of a dump at most */
    REQUEST_BYTES = 1024,  /* a tuple takes less than 100 */
    TUPLE_BYTES_MAX = 256, /* likewise */
};

union message {
    uint8_t bytes[REQUEST_BYTES];
    struct nlmsghdr align;
};

struct dump {
    bool (*is_meant)(const void *context, const struct address *to);
    const void *context;
    struct mnl_socket *deleter;
    uint8_t family;
    int rc;
};

static struct nlmsghdr *begin(union message *message, uint16_t type, uint16_t flags, uint8_t family)
{
    struct nlmsghdr *head = mnl_nlmsg_put_header(message->bytes);
    head->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
    head->nlmsg_flags = NLM_F_REQUEST | flags;
    struct nfgenmsg *body = mnl_nlmsg_put_extra_header(head, sizeof(*body));
    body->nfgen_family = family;
    body->version = NFNETLINK_V0;
    return head;
}

/* The flow may have ended meanwhile. */
static int forget(struct dump *dump, const struct nlattr *tuple)
{
    union message message, answer;
    struct nlmsghdr *head = begin(&message, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, dump->family);
    mnl_attr_put(head, CTA_TUPLE_ORIG | NLA_F_NESTED, mnl_attr_get_payload_len(tuple),
                 mnl_attr_get_payload(tuple));
    if (mnl_socket_sendto(dump->deleter, head, head->nlmsg_len) < 0)
        return -errno;
    ssize_t size = mnl_socket_recvfrom(dump->deleter, answer.bytes, sizeof(answer.bytes));
    if (size < 0)
        return -errno;
    int rc = mnl_cb_run(answer.bytes, (size_t)size, 0, 0, NULL, NULL);
    return rc >= 0 || errno == ENOENT ? 0 : -errno;
}

/* Where a UDP flow's first packet was sent to. */
static bool udp_destination(const struct nlattr *tuple, struct address *ret)
{
    const struct nlattr *part, *item;
    bool is_udp = false, has_address = false;
    mnl_attr_for_each_nested(part, tuple)
    {
        bool is_proto = mnl_attr_get_type(part) == CTA_TUPLE_PROTO;
        mnl_attr_for_each_nested(item, part)
        {
            uint16_t type = mnl_attr_get_type(item), size = mnl_attr_get_payload_len(item);
            if (is_proto && type == CTA_PROTO_NUM && size >= 1)
                is_udp = mnl_attr_get_u8(item) == IPPROTO_UDP;
            if (!is_proto && type == CTA_IP_V4_DST && size == sizeof(struct in_addr)) {
                *ret = address_from_v4(ntohl(mnl_attr_get_u32(item)), 0);
                has_address = true;
            }
            if (!is_proto && type == CTA_IP_V6_DST && size == sizeof(ret->ip)) {
                memcpy(ret->ip, mnl_attr_get_payload(item), sizeof(ret->ip));
                has_address = true;
            }
        }
    }
    return is_udp && has_address;
}

static int on_flow(const struct nlmsghdr *head, void *context)
{
    struct dump *dump = context;
    const struct nlattr *item;
    struct address to = {0};
    mnl_attr_for_each(item, head, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(item) != CTA_TUPLE_ORIG ||
            mnl_attr_get_payload_len(item) > TUPLE_BYTES_MAX || !udp_destination(item, &to) ||
            !dump->is_meant(dump->context, &to))
            continue;
        int rc = forget(dump, item);
        dump->rc = rc < 0 ? rc : dump->rc;
    }
    return MNL_CB_OK;
}

static int each_flow(struct mnl_socket *socket, struct dump *dump)
{
    union message message;
    union {
        uint8_t bytes[ANSWER_BYTES];
        struct nlmsghdr align;
    } answer;
    struct nlmsghdr *head = begin(&message, IPCTNL_MSG_CT_GET, NLM_F_DUMP, dump->family);
    if (mnl_socket_sendto(socket, head, head->nlmsg_len) < 0)
        return -errno;
    int more = MNL_CB_OK;
    while (more == MNL_CB_OK) {
        ssize_t size = mnl_socket_recvfrom(socket, answer.bytes, sizeof(answer.bytes));
        if (size < 0 && errno != EINTR)
            return -errno;
        if (size >= 0)
            more = mnl_cb_run(answer.bytes, (size_t)size, 0, 0, on_flow, dump);
    }
    return more < 0 ? -errno : dump->rc;
}

int conntrack_forget_udp(bool (*is_meant)(const void *context, const struct address *to),
                         const void *context)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct mnl_socket *dumper = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    struct mnl_socket *deleter = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    int result = dumper && deleter ? 0 : -errno;
    for (size_t i = 0; i < sizeof(families) && result == 0; i++) {
        struct dump dump = {
            .is_meant = is_meant, .context = context, .deleter = deleter, .family = families[i]};
        result = each_flow(dumper, &dump);
    }
    if (dumper)
        mnl_socket_close(dumper);
    if (deleter)
        mnl_socket_close(deleter);
    return result;
}
