#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/control/stand_in.h"
#include "node/mesh/routes.h"
#include "tests/unit/consensus/intent_fixture.h"

/* Three peers, of which the service s_web has a replica each: generations 1, 2 and 3. */
struct seen {
    struct fixture f;
    struct view view;
    struct routes routes;
};

static void see_peer(struct seen *s, unsigned peer, enum view_liveness liveness)
{
    struct id id = fixture_id(peer);
    view_peer_get(&s->view, &id)->liveness = (uint8_t)liveness;
}

static struct view_replica *see_replica(struct seen *s, uint64_t generation, unsigned peer)
{
    struct view_replica *replica = view_replica_get(&s->view, generation);
    replica->peer = fixture_id(peer);
    replica->state = VIEW_REPLICA_RUNNING;
    replica->health = VIEW_HEALTH_NONE;
    return replica;
}

static void make(struct seen *s)
{
    struct routes routes;
    assert_int_equal(routes_make(s->f.intent, &s->view, &routes), 0);
    routes_keep_turns(&routes, &s->routes);
    routes_done(&s->routes);
    s->routes = routes;
}

static void deploy(struct seen *s, const char *stack, const char *name, uint16_t published)
{
    struct service_spec spec;
    fixture_spec(&spec, name);
    if (published)
        fixture_publish(&spec, published);
    spec.replicas = 3;
    assert_int_equal(fixture_deploy(&s->f, stack, &spec, 1), 0);
    service_spec_done(&spec);
}

static void start(struct seen *s)
{
    *s = (struct seen){0};
    fixture_init(&s->f, 3);
    view_init(&s->view);
    deploy(s, "s", "web", 8080);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(fixture_add(&s->f, "s_web", i + 1, 1, i), 0);
        see_peer(s, i, VIEW_ALIVE);
        see_replica(s, i + 1, i);
    }
    make(s);
}

static void done(struct seen *s)
{
    routes_done(&s->routes);
    view_done(&s->view);
    fixture_done(&s->f);
}

static size_t endpoints(const struct seen *s)
{
    return routes_by_name(&s->routes, "s_web")->endpoint_count;
}

/* Breaks if requests go to what can't serve them, or not to what can. */
static void test_only_what_serves(void **state)
{
    (void)state;
    struct seen s;
    start(&s);
    assert_int_equal(endpoints(&s), 3);
    struct view_replica *replica = view_replica_find(&s.view, 1);
    for (unsigned value = 0; value <= VIEW_REPLICA_FAILED; value++) {
        replica->state = (uint8_t)value;
        make(&s);
        assert_int_equal(endpoints(&s), value == VIEW_REPLICA_RUNNING ? 3 : 2);
    }
    replica->state = VIEW_REPLICA_RUNNING;
    for (unsigned value = 0; value <= VIEW_HEALTH_BAD; value++) {
        replica->health = (uint8_t)value;
        make(&s);
        bool serves = value == VIEW_HEALTH_NONE || value == VIEW_HEALTH_GOOD;
        assert_int_equal(endpoints(&s), serves ? 3 : 2);
    }
    replica->health = VIEW_HEALTH_GOOD;
    view_replica_remove(&s.view, 2); /* nobody has said that it runs */
    make(&s);
    assert_int_equal(endpoints(&s), 2);
    done(&s);
}

/* Breaks if what stands in for a replica gets no requests, or gets them though nobody said that the
 * service is duplicated. */
static void test_stand_ins(void **state)
{
    (void)state;
    struct seen s;
    struct id peer = fixture_id(1);
    start(&s);
    uint64_t number = stand_in_number(1, &peer);
    see_peer(&s, 0, VIEW_DEAD);
    see_replica(&s, number, 1);
    struct view_stand_in *stand_in = view_stand_in_get(&s.view, number);
    assert_non_null(stand_in);
    stand_in->replica = (struct intent_replica){
        .generation = number, .service = "s_web", .slot = 1, .revision = 1, .peer = peer};
    make(&s);
    assert_int_equal(endpoints(&s), 2);
    struct intent_service *service = intent_service_find(s.f.intent, "s_web");
    struct intent_revision *revision = service->revisions.items[0];
    revision->spec.on_minority = SPEC_MINORITY_DUPLICATE;
    make(&s);
    assert_int_equal(endpoints(&s), 3);
    const struct endpoint *last = &routes_by_name(&s.routes, "s_web")->endpoints[2];
    assert_int_equal(last->generation, number);
    assert_true(id_equal(&last->peer, &peer));
    see_peer(&s, 1, VIEW_SUSPECT);
    make(&s);
    assert_int_equal(endpoints(&s), 1);
    done(&s);
}

/* Breaks if a peer that does not answer goes on getting requests while it is only suspected. */
static void test_suspects(void **state)
{
    (void)state;
    struct seen s;
    start(&s);
    for (unsigned value = VIEW_SUSPECT; value <= VIEW_LEFT; value++) {
        see_peer(&s, 1, (enum view_liveness)value);
        make(&s);
        const struct route *route = routes_by_name(&s.routes, "s_web");
        assert_int_equal(route->endpoint_count, 2);
        assert_int_equal(route->endpoints[0].generation, 1);
        assert_int_equal(route->endpoints[1].generation, 3);
    }
    see_peer(&s, 1, VIEW_ALIVE);
    make(&s);
    assert_int_equal(endpoints(&s), 3);
    struct id id = fixture_id(1);
    view_peer_remove(&s.view, &id);
    make(&s);
    assert_int_equal(endpoints(&s), 2);
    done(&s);
}

/* Breaks if a replica that is to be stopped gets new connections, or another peer's word for it
 * counts. */
static void test_stopping(void **state)
{
    (void)state;
    struct seen s;
    start(&s);
    assert_int_equal(fixture_end(&s.f, COMMAND_PLACE_STOP, 2), 0);
    see_replica(&s, 3, 0); /* by the wrong peer */
    make(&s);
    const struct route *route = routes_by_name(&s.routes, "s_web");
    assert_int_equal(route->endpoint_count, 1);
    assert_int_equal(route->endpoints[0].generation, 1);
    struct id id = fixture_id(0);
    assert_true(id_equal(&route->endpoints[0].peer, &id));
    done(&s);
}

/* Breaks if replicas do not take turns, a tried one comes again, or the turns begin anew with each
 * change: the first would then get it all. */
static void test_turns(void **state)
{
    (void)state;
    struct seen s;
    start(&s);
    unsigned counts[4] = {0};
    uint64_t last = 0;
    for (int i = 0; i < 30; i++) {
        if (i % 2)
            make(&s);
        const struct endpoint *endpoint = route_next(routes_by_name(&s.routes, "s_web"), NULL, 0);
        assert_non_null(endpoint);
        assert_int_not_equal(endpoint->generation, last);
        last = endpoint->generation;
        counts[endpoint->generation]++;
    }
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(counts[i], 10);
    struct route *route = routes_by_name(&s.routes, "s_web");
    uint64_t tried[3];
    for (size_t i = 0; i < 3; i++) {
        const struct endpoint *endpoint = route_next(route, tried, i);
        assert_non_null(endpoint);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(endpoint->generation, tried[j]);
        tried[i] = endpoint->generation;
    }
    assert_null(route_next(route, tried, 3));
    for (unsigned i = 0; i < 3; i++)
        see_peer(&s, i, VIEW_DEAD);
    make(&s);
    assert_null(route_next(routes_by_name(&s.routes, "s_web"), NULL, 0));
    done(&s);
}

/* Breaks if a port or a virtual address leads to the wrong service, or one of UDP to TCP. */
static void test_finders(void **state)
{
    (void)state;
    struct seen s;
    uint16_t target = 0;
    start(&s);
    deploy(&s, "t", "db", 0);
    make(&s);
    assert_int_equal(s.routes.count, 2);
    assert_ptr_equal(routes_by_port(&s.routes, 8080, SPEC_TCP, &target),
                     routes_by_name(&s.routes, "s_web"));
    assert_int_equal(target, 80);
    assert_null(routes_by_port(&s.routes, 8081, SPEC_TCP, &target));
    assert_null(routes_by_name(&s.routes, "web"));
    struct route *db = routes_by_name(&s.routes, "t_db");
    assert_non_null(db);
    assert_ptr_equal(routes_by_virtual_ip(&s.routes, db->virtual_ip), db);
    assert_null(routes_by_virtual_ip(&s.routes, 0));

    struct intent_service *service = fixture_service(&s.f, "s_web");
    ((struct intent_revision *)service->revisions.items[0])->spec.ports[0].protocol = SPEC_UDP;
    make(&s);
    assert_null(routes_by_port(&s.routes, 8080, SPEC_TCP, &target));
    struct routes empty = {0};
    assert_null(routes_by_name(&empty, "s_web"));
    done(&s);
}

/* Deploys a service that is on those networks ("a b"), with an alias on the first. */
static void deploy_on(struct seen *s, const char *stack, const char *name, const char *networks,
                      const char *alias)
{
    struct service_spec spec;
    fixture_spec(&spec, name);
    spec.networks = calloc(SPEC_NETWORKS_MAX, sizeof(*spec.networks));
    for (const char *at = networks; *at;) {
        size_t size = strcspn(at, " ");
        spec.networks[spec.network_count++].name = strndup(at, size);
        at += size + strspn(at + size, " ");
    }
    if (alias)
        assert_int_equal(text_list_add(&spec.networks[0].aliases, alias), 0);
    assert_int_equal(fixture_deploy(&s->f, stack, &spec, 1), 0);
    service_spec_done(&spec);
}

static struct route *named(struct seen *s, const char *name, const char *asker)
{
    const struct route *route = routes_by_name(&s->routes, asker);
    assert_true(route || !asker[0]);
    return routes_by_dns_name(&s->routes, name, route);
}

/* Breaks if a name means another stack's service although there is one of the own. */
static void test_names(void **state)
{
    (void)state;
    struct seen s;
    start(&s);
    deploy_on(&s, "s", "web", "s_default shared", NULL);
    deploy_on(&s, "t", "web", "t_default shared", NULL);
    deploy_on(&s, "u", "job", "shared", NULL);
    deploy_on(&s, "v", "db", "shared v_back", NULL);
    make(&s);
    struct route *s_web = routes_by_name(&s.routes, "s_web");
    struct route *t_web = routes_by_name(&s.routes, "t_web");
    struct route *v_db = routes_by_name(&s.routes, "v_db");
    assert_ptr_equal(named(&s, "web", "s_web"), s_web);
    assert_ptr_equal(named(&s, "WEB", "t_web"), t_web);
    assert_null(named(&s, "web", ""));                /* which? */
    assert_null(named(&s, "web", "u_job"));           /* which? */
    assert_ptr_equal(named(&s, "db", "s_web"), v_db); /* there is only one */
    assert_ptr_equal(named(&s, "t_web", "s_web"), t_web);
    assert_ptr_equal(named(&s, "web.t", "s_web"), t_web);
    assert_ptr_equal(named(&s, "Web.S", "t_web"), s_web);
    assert_null(named(&s, "web.u", "s_web"));
    assert_null(named(&s, "we", "s_web"));
    assert_null(named(&s, "webs", "s_web"));
    assert_null(named(&s, "", "s_web"));
    done(&s);
}

/* Breaks if services see each other, or each other's aliases, that share no network; or those of a
 * stack that names no networks don't. */
static void test_networks(void **state)
{
    (void)state;
    struct seen s;
    start(&s);
    deploy(&s, "p", "plain", 0);
    deploy_on(&s, "t", "front", "t_front", NULL);
    deploy_on(&s, "u", "api", "t_back t_front", "backend");
    deploy_on(&s, "v", "db", "t_back", "store");
    deploy_on(&s, "w", "job", "p_default", NULL);
    make(&s);
    assert_ptr_equal(named(&s, "api", "t_front"), routes_by_name(&s.routes, "u_api"));
    assert_null(named(&s, "backend", "t_front")); /* that is on the other network */
    assert_ptr_equal(named(&s, "backend", "v_db"), routes_by_name(&s.routes, "u_api"));
    assert_ptr_equal(named(&s, "STORE", "u_api"), routes_by_name(&s.routes, "v_db"));
    assert_ptr_equal(named(&s, "store", ""), routes_by_name(&s.routes, "v_db"));
    static const char *const hidden[] = {"db", "v_db", "db.v", "store", "plain", "s_web"};
    for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
        assert_null(named(&s, hidden[i], "t_front"));
    assert_ptr_equal(named(&s, "plain", "w_job"), routes_by_name(&s.routes, "p_plain"));
    assert_false(
        routes_share(routes_by_name(&s.routes, "s_web"), routes_by_name(&s.routes, "p_plain")));

    struct intent_service *service = fixture_service(&s.f, "p_plain");
    ((struct intent_revision *)service->revisions.items[0])->spec.network_mode = SPEC_NETWORK_HOST;
    make(&s);
    assert_null(named(&s, "plain", "w_job"));
    done(&s);
}

/* Breaks if an address means another service than the one that has it within that network. */
static void test_addresses(void **state)
{
    (void)state;
    struct seen s;
    struct service_spec spec;
    const struct address five = address_from_v4(0xac1c0005, 80),
                         six = address_from_v4(0xac1c0006, 0);
    start(&s);
    assert_int_equal(fixture_raise(&s.f), 0);
    static const char *const names[] = {"a", "b"};
    for (size_t i = 0; i < 2; i++) { /* the same address in two networks */
        char network[8] = {names[i][0], '_', 'l', 'a', 'n'};
        fixture_spec(&spec, "dns");
        spec.networks = calloc(1, sizeof(*spec.networks));
        spec.networks[0].name = strdup(network);
        spec.networks[0].addresses[0] = address_from_v4(0xac1c0005, 0);
        spec.networks[0].address_count = spec.network_count = 1;
        assert_int_equal(fixture_deploy(&s.f, names[i], &spec, 1), 0);
        service_spec_done(&spec);
    }
    make(&s);
    assert_ptr_equal(routes_by_address(&s.routes, "a_lan", &five),
                     routes_by_name(&s.routes, "a_dns"));
    assert_ptr_equal(routes_by_address(&s.routes, "b_lan", &five),
                     routes_by_name(&s.routes, "b_dns"));
    assert_null(routes_by_address(&s.routes, "a_lan", &six));
    assert_null(routes_by_address(&s.routes, "s_default", &five));
    done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stand_ins), cmocka_unit_test(test_only_what_serves),
        cmocka_unit_test(test_suspects),  cmocka_unit_test(test_stopping),
        cmocka_unit_test(test_turns),     cmocka_unit_test(test_finders),
        cmocka_unit_test(test_names),     cmocka_unit_test(test_networks),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
