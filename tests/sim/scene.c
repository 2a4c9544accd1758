#include "tests/sim/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

int scene_set_up(void **state)
{
    (void)state;
    return sodium_init() < 0;
}

struct cluster *scene_new(unsigned count, uint64_t seed)
{
    struct cluster *c = test_malloc(sizeof(*c));
    cluster_init(c, count, seed);
    return c;
}

void scene_form(struct cluster *c)
{
    if (!cluster_start(c))
        fail_msg("the cluster does not form: %s", cluster_unsettled(c));
}

struct cluster *scene_start(unsigned count, uint64_t seed)
{
    struct cluster *c = scene_new(count, seed);
    scene_form(c);
    return c;
}

void scene_settle(struct cluster *c, int64_t bound_ms)
{
    if (cluster_wait(c, bound_ms, cluster_is_settled))
        return;
    const char *why = cluster_unsettled(c);
    fail_msg("%s", c->has_failed ? c->failure : why ? why : "never settled");
}

void scene_end(struct cluster *c)
{
    if (c->has_failed)
        fail_msg("%s", c->failure);
    cluster_done(c);
    test_free(c);
}
