#include <arpa/nameser.h>
#include <netinet/in.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/ula.h"
#include "node/mesh/dns.h"

enum {
    NAMES_MAX = 2, /* in a packet, that a later one may refer to */
    RECORD_BYTES_MAX = NS_MAXCDNAME + NS_RRFIXEDSZ + NS_IN6ADDRSZ,
    REPLY_BYTES_MAX = NS_HFIXEDSZ + 2 * RECORD_BYTES_MAX, /* of the question, and the answer */
};

/* A packet with exactly one question, as the C library reads it. */
struct query {
    ns_msg packet;
    ns_rr asked; /* the name in it has no dot at its end */
};

static bool parse(struct bytes question, struct query *ret)
{
    return question.size <= DNS_PACKET_BYTES_MAX &&
           ns_initparse(question.data, (int)question.size, &ret->packet) == 0 &&
           !ns_msg_getflag(ret->packet, ns_f_qr) &&
           ns_msg_getflag(ret->packet, ns_f_opcode) == ns_o_query &&
           ns_msg_count(ret->packet, ns_s_qd) == 1 &&
           ns_parserr(&ret->packet, ns_s_qd, 0, &ret->asked) == 0;
}

/* --- Writing a reply --- */

struct reply {
    u_char bytes[REPLY_BYTES_MAX];
    u_char *end;                        /* of what is written */
    const u_char *names[NAMES_MAX + 2]; /* the packet, those in it, NULL */
};

static void begin_reply(struct reply *reply, const struct query *query, ns_rcode code,
                        bool has_answer)
{
    const HEADER head = {
        .id = htons(ns_msg_id(query->packet)),
        .qr = 1,
        .aa = 1,
        .rd = (unsigned)ns_msg_getflag(query->packet, ns_f_rd),
        .ra = 1,
        .rcode = code,
        .qdcount = htons(1),
        .ancount = htons(has_answer),
    };
    _Static_assert(sizeof(head) == NS_HFIXEDSZ, "as on the wire");
    memcpy(reply->bytes, &head, sizeof(head));
    reply->end = reply->bytes + sizeof(head);
    reply->names[0] = reply->bytes;
    reply->names[1] = NULL;
}

/* What questions and answers begin with. */
static bool write_name(struct reply *reply, const char *name, unsigned type, unsigned class)
{
    int size = ns_name_compress(name, reply->end, NS_MAXCDNAME, reply->names,
                                reply->names + array_count(reply->names));
    if (size < 0)
        return false;
    reply->end += size;
    NS_PUT16(type, reply->end);
    NS_PUT16(class, reply->end);
    return true;
}

static bool write_address(struct reply *reply, const char *name, const struct address *address)
{
    bool is_v4 = address_is_v4(address);
    size_t size = is_v4 ? NS_INADDRSZ : NS_IN6ADDRSZ;
    if (!write_name(reply, name, is_v4 ? ns_t_a : ns_t_aaaa, ns_c_in))
        return false;
    NS_PUT32(DNS_TTL_S, reply->end);
    NS_PUT16(size, reply->end);
    memcpy(reply->end, address->ip + sizeof(address->ip) - size, size);
    reply->end += size;
    return true;
}

/* `address` is NULL where the answer has none. */
static bool answer_query(const struct query *query, const struct address *address, ns_rcode code,
                         struct buffer *answer)
{
    struct reply reply;
    const ns_rr *asked = &query->asked;
    begin_reply(&reply, query, code, address != NULL);
    return write_name(&reply, asked->name, asked->type, asked->rr_class) &&
           (!address || write_address(&reply, asked->name, address)) &&
           buffer_append(answer, reply.bytes, (size_t)(reply.end - reply.bytes)) == 0;
}

/* --- What is answered --- */

/* What the service's name means to whoever asks so; false: nothing. */
static bool find_address(const struct route *route, uint32_t base, bool has_ipv6, ns_type type,
                         struct address *ret)
{
    if (type == ns_t_a)
        *ret = address_from_v4(base + route->virtual_ip, 0);
    else if (type == ns_t_aaaa && has_ipv6)
        *ret = ula_make(ULA_VIRTUAL_SUBNET, base + route->virtual_ip);
    else
        return false;
    return true;
}

/* A resolver without a search list takes what stands behind the first dot of the host's name for
 * its domain: in "hello_web.1" asks for "web.1". No real domain is a number, so that is cut off. */
static void cut_slot(char *name)
{
    char *dot = strrchr(name, '.');
    if (dot && dot > name && dot[1] && dot[1 + strspn(dot + 1, "0123456789")] == '\0')
        *dot = '\0';
}

enum dns_outcome dns_answer(const struct routes *routes, const struct route *asker, uint32_t base,
                            bool has_ipv6, struct bytes question, struct buffer *answer)
{
    struct query query;
    struct address address;
    char name[NS_MAXDNAME];
    if (!parse(question, &query) || !query.asked.name[0] || strchr(query.asked.name, '\\'))
        return DNS_IGNORED;
    memcpy(name, query.asked.name, sizeof(name));
    cut_slot(name);
    const struct route *route = routes_by_dns_name(routes, name, asker);
    if (!route && strchr(name, '.'))
        return DNS_FOREIGN;
    bool has_address =
        route && find_address(route, base, has_ipv6, (ns_type)query.asked.type, &address);
    return answer_query(&query, has_address ? &address : NULL, route ? ns_r_noerror : ns_r_nxdomain,
                        answer)
               ? DNS_ANSWERED
               : DNS_IGNORED;
}

void dns_fail(struct bytes question, struct buffer *answer)
{
    struct query query;
    if (parse(question, &query))
        answer_query(&query, NULL, ns_r_servfail, answer);
}
