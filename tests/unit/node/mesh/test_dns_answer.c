#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <ldns/ldns.h>

#include "node/mesh/dns.h"

static const uint32_t base = 10u << 24 | 97u << 16;
static bool has_ipv6 = true; /* the machine */

static char shared_name[] = "shared", apart_name[] = "apart";
static struct spec_network shared = {.name = shared_name}, apart = {.name = apart_name};

/* The services s_web (.1) and t_db (.258), and one that shares no network with them. */
static struct route items[] = {
    {"s_web", "s", .virtual_ip = 1, .networks = &shared, .network_count = 1},
    {"t_db", "t", .virtual_ip = 258, .networks = &shared, .network_count = 1},
    {"u_lone", "u", .virtual_ip = 3, .networks = &apart, .network_count = 1},
};
static const struct routes routes = {items, 3};

/* The first service of the stack; "" is the machine. */
static const struct route *of_stack(const char *stack)
{
    for (size_t i = 0; i < routes.count; i++)
        if (strcmp(items[i].stack, stack) == 0)
            return &items[i];
    return NULL;
}

static void ask(const char *name, ldns_rr_type type, struct buffer *ret)
{
    uint8_t *wire = NULL;
    size_t size = 0;
    ldns_pkt *query =
        ldns_pkt_query_new(ldns_dname_new_frm_str(name), type, LDNS_RR_CLASS_IN, LDNS_RD);
    assert_non_null(query);
    ldns_pkt_set_id(query, 0xbeef);
    assert_int_equal(ldns_pkt2wire(&wire, query, &size), LDNS_STATUS_OK);
    ldns_pkt_free(query);
    buffer_clear(ret);
    assert_int_equal(buffer_append(ret, wire, size), 0);
    free(wire);
}

/* What a name is answered with: an address, "NXDOMAIN", "none" or "passed on". */
static const char *answer_for(const char *name, ldns_rr_type type, const char *stack)
{
    static char text[64];
    cleanup_buffer struct buffer question = {0}, answer = {0};
    ask(name, type, &question);
    enum dns_outcome outcome =
        dns_answer(&routes, of_stack(stack), base, has_ipv6, buffer_view(&question), &answer);
    if (outcome == DNS_FOREIGN) {
        assert_int_equal(answer.size, 0);
        return "passed on";
    }
    assert_int_equal(outcome, DNS_ANSWERED);
    ldns_pkt *reply = NULL;
    assert_int_equal(ldns_wire2pkt(&reply, answer.bytes, answer.size), LDNS_STATUS_OK);
    assert_true(ldns_pkt_qr(reply) && ldns_pkt_rd(reply) && ldns_pkt_ra(reply));
    assert_int_equal(ldns_pkt_id(reply), 0xbeef);
    assert_int_equal(ldns_rr_list_rr_count(ldns_pkt_question(reply)), 1);
    strcpy(text, ldns_pkt_get_rcode(reply) == LDNS_RCODE_NXDOMAIN ? "NXDOMAIN" : "none");
    if (ldns_rr_list_rr_count(ldns_pkt_answer(reply)) == 1) {
        const ldns_rr *record = ldns_rr_list_rr(ldns_pkt_answer(reply), 0);
        char *ip = ldns_rdf2str(ldns_rr_rdf(record, 0));
        assert_int_equal(ldns_rr_ttl(record), DNS_TTL_S);
        snprintf(text, sizeof(text), "%s", ip);
        free(ip);
    }
    ldns_pkt_free(reply);
    return text;
}

/* Breaks if a container does not find a service by its names. */
static void test_services(void **state)
{
    (void)state;
    assert_string_equal(answer_for("web.", LDNS_RR_TYPE_A, "s"), "10.97.0.1");
    assert_string_equal(answer_for("s_web.", LDNS_RR_TYPE_A, ""), "10.97.0.1");
    assert_string_equal(answer_for("db.t.", LDNS_RR_TYPE_A, "s"), "10.97.1.2");
    assert_string_equal(answer_for("DB.", LDNS_RR_TYPE_A, "s"), "10.97.1.2");
    assert_string_equal(answer_for("db.1.", LDNS_RR_TYPE_A, "t"), "10.97.1.2"); /* from db.1 */
    /* a network in common, or none */
    assert_string_equal(answer_for("lone.", LDNS_RR_TYPE_A, "s"), "NXDOMAIN");
    assert_string_equal(answer_for("web.", LDNS_RR_TYPE_A, "u"), "NXDOMAIN");
    assert_string_equal(answer_for("u_lone.", LDNS_RR_TYPE_A, "u"), "10.97.0.3");
    assert_string_equal(answer_for("lone.", LDNS_RR_TYPE_A, ""), "10.97.0.3");
    /* IPv6's by its side, by the same rules */
    assert_string_equal(answer_for("db.", LDNS_RR_TYPE_AAAA, "s"), "fd39:8035:57fb:ffff::a61:102");
    assert_string_equal(answer_for("lone.", LDNS_RR_TYPE_AAAA, "s"), "NXDOMAIN");
    assert_string_equal(answer_for("example.org.", LDNS_RR_TYPE_AAAA, "s"), "passed on");
    /* there, but without such an address: not the same as not there */
    assert_string_equal(answer_for("web.", LDNS_RR_TYPE_MX, "s"), "none");
    has_ipv6 = false;
    assert_string_equal(answer_for("web.", LDNS_RR_TYPE_AAAA, "s"), "none");
    has_ipv6 = true;
}

/* Breaks if a name without a dot is asked of the world, or one of the world is refused. */
static void test_others(void **state)
{
    (void)state;
    assert_string_equal(answer_for("wep.", LDNS_RR_TYPE_A, "s"), "NXDOMAIN");
    assert_string_equal(answer_for("example.org.", LDNS_RR_TYPE_A, "s"), "passed on");
    assert_string_equal(answer_for("web.u.", LDNS_RR_TYPE_A, "s"), "passed on");
    assert_string_equal(answer_for("1.", LDNS_RR_TYPE_A, "s"), "NXDOMAIN");
}

/* Breaks if something that is no question is answered: two such peers would talk for ever. */
static void test_no_question(void **state)
{
    (void)state;
    cleanup_buffer struct buffer question = {0}, answer = {0};
    ask("web.", LDNS_RR_TYPE_A, &question);
    for (size_t size = 0; size < question.size; size++) {
        struct bytes cut = {question.bytes, size};
        assert_int_equal(dns_answer(&routes, &items[0], base, has_ipv6, cut, &answer), DNS_IGNORED);
        dns_fail(cut, &answer);
    }
    question.bytes[2] |= 0x80; /* an answer */
    assert_int_equal(
        dns_answer(&routes, &items[0], base, has_ipv6, buffer_view(&question), &answer),
        DNS_IGNORED);
    question.bytes[2] = 0x10; /* a status request */
    assert_int_equal(
        dns_answer(&routes, &items[0], base, has_ipv6, buffer_view(&question), &answer),
        DNS_IGNORED);
    question.bytes[2] = 1;
    question.bytes[5] = 0; /* no question in it */
    assert_int_equal(
        dns_answer(&routes, &items[0], base, has_ipv6, buffer_view(&question), &answer),
        DNS_IGNORED);
    assert_int_equal(answer.size, 0);
}

/* Breaks if whoever asks waits although nobody can answer. */
static void test_fail(void **state)
{
    (void)state;
    cleanup_buffer struct buffer question = {0}, answer = {0};
    ldns_pkt *reply = NULL;
    ask("example.org.", LDNS_RR_TYPE_A, &question);
    dns_fail(buffer_view(&question), &answer);
    assert_int_equal(ldns_wire2pkt(&reply, answer.bytes, answer.size), LDNS_STATUS_OK);
    assert_int_equal(ldns_pkt_get_rcode(reply), LDNS_RCODE_SERVFAIL);
    assert_int_equal(ldns_pkt_id(reply), 0xbeef);
    ldns_pkt_free(reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_no_question),
        cmocka_unit_test(test_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
