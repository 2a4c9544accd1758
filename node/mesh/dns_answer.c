#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

#include "base/ula.h"
#include "node/mesh/dns.h"

/* The name as text without the dot at its end; false if it does not fit or holds odd characters. */
static bool name_text(const ldns_rdf *name, char *ret, size_t capacity)
{
    char *text = ldns_rdf2str(name);
    size_t length = text ? strlen(text) : 0;
    if (length > 0 && text[length - 1] == '.')
        text[--length] = '\0';
    bool fits = length > 0 && length < capacity && !strchr(text, '\\');
    if (fits)
        memcpy(ret, text, length + 1);
    free(text);
    return fits;
}

static bool push_address(ldns_pkt *reply, const ldns_rr *question, const struct address *ip)
{
    bool is_v4 = address_is_v4(ip);
    ldns_rr *record = ldns_rr_new_frm_type(is_v4 ? LDNS_RR_TYPE_A : LDNS_RR_TYPE_AAAA);
    ldns_rdf *address =
        ldns_rdf_new_frm_data(is_v4 ? LDNS_RDF_TYPE_A : LDNS_RDF_TYPE_AAAA,
                              is_v4 ? 4 : sizeof(ip->ip), ip->ip + (is_v4 ? 12 : 0));
    ldns_rdf *owner = ldns_rdf_clone(ldns_rr_owner(question));
    if (!record || !address || !owner) {
        ldns_rr_free(record);
        ldns_rdf_deep_free(address);
        ldns_rdf_deep_free(owner);
        return false;
    }
    ldns_rr_set_owner(record, owner);
    ldns_rr_set_ttl(record, DNS_TTL_S);
    ldns_rdf_deep_free(ldns_rr_set_rdf(record, address, 0));
    if (ldns_pkt_push_rr(reply, LDNS_SECTION_ANSWER, record))
        return true;
    ldns_rr_free(record);
    return false;
}

static void make_reply(const ldns_pkt *query, ldns_pkt *reply, ldns_pkt_rcode code)
{
    ldns_pkt_set_id(reply, ldns_pkt_id(query));
    ldns_pkt_set_qr(reply, true);
    ldns_pkt_set_aa(reply, true);
    ldns_pkt_set_rd(reply, ldns_pkt_rd(query));
    ldns_pkt_set_ra(reply, true);
    ldns_pkt_set_rcode(reply, code);
    ldns_rr *question = ldns_rr_list_rr(ldns_pkt_question(query), 0);
    ldns_rr *copy = ldns_rr_clone(question);
    if (copy && !ldns_pkt_push_rr(reply, LDNS_SECTION_QUESTION, copy))
        ldns_rr_free(copy);
}

static bool write_reply(const ldns_pkt *reply, struct buffer *answer)
{
    uint8_t *wire = NULL;
    size_t size = 0;
    bool ok = ldns_pkt2wire(&wire, reply, &size) == LDNS_STATUS_OK &&
              buffer_append(answer, wire, size) == 0;
    free(wire);
    return ok;
}

/* A query with exactly one question, or NULL. */
static ldns_pkt *parse(struct bytes question)
{
    ldns_pkt *query = NULL;
    if (question.size > DNS_PACKET_BYTES_MAX ||
        ldns_wire2pkt(&query, question.data, question.size) != LDNS_STATUS_OK)
        return NULL;
    if (ldns_pkt_qr(query) || ldns_pkt_get_opcode(query) != LDNS_PACKET_QUERY ||
        ldns_rr_list_rr_count(ldns_pkt_question(query)) != 1) {
        ldns_pkt_free(query);
        return NULL;
    }
    return query;
}

/* What the service's name means to whoever asks so; false: nothing. */
static bool find_address(const struct route *route, uint32_t base, bool has_ipv6, ldns_rr_type type,
                         struct address *ret)
{
    if (type == LDNS_RR_TYPE_A)
        *ret = address_from_v4(base + route->virtual_ip, 0);
    else if (type == LDNS_RR_TYPE_AAAA && has_ipv6)
        *ret = ula_make(ULA_VIRTUAL_SUBNET, base + route->virtual_ip);
    else
        return false;
    return true;
}

static bool answer_query(const struct address *address, const ldns_pkt *query, ldns_pkt_rcode code,
                         struct buffer *answer)
{
    const ldns_rr *asked = ldns_rr_list_rr(ldns_pkt_question(query), 0);
    ldns_pkt *reply = ldns_pkt_new();
    bool ok = reply != NULL;
    if (ok) {
        make_reply(query, reply, code);
        if (address)
            ok = push_address(reply, asked, address);
        ok = ok && write_reply(reply, answer);
    }
    ldns_pkt_free(reply);
    return ok;
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
    struct address address;
    char name[LDNS_MAX_DOMAINLEN + 1];
    ldns_pkt *query = parse(question);
    if (!query)
        return DNS_IGNORED;
    enum dns_outcome outcome = DNS_IGNORED;
    const ldns_rr *asked = ldns_rr_list_rr(ldns_pkt_question(query), 0);
    if (name_text(ldns_rr_owner(asked), name, sizeof(name))) {
        cut_slot(name);
        const struct route *route = routes_by_dns_name(routes, name, asker);
        if (!route && strchr(name, '.'))
            outcome = DNS_FOREIGN;
        else if (answer_query(
                     route && find_address(route, base, has_ipv6, ldns_rr_get_type(asked), &address)
                         ? &address
                         : NULL,
                     query, route ? LDNS_RCODE_NOERROR : LDNS_RCODE_NXDOMAIN, answer))
            outcome = DNS_ANSWERED;
    }
    ldns_pkt_free(query);
    return outcome;
}

void dns_fail(struct bytes question, struct buffer *answer)
{
    ldns_pkt *query = parse(question);
    if (query)
        answer_query(NULL, query, LDNS_RCODE_SERVFAIL, answer);
    ldns_pkt_free(query);
}
