/* A leader's decisions for tests: an intent, what is seen of its peers, and a clock.
 *
 *     cluster_init(&c, 3);                      peers a, b and c, alive, 4 CPUs and 4 GiB each
 *     cluster_deploy(&c, &spec);                as "s_<spec's name>"
 *     cluster_calm(&c);                         decides and obeys until nothing more changes
 *     cluster_see(&c, 1, VIEW_DEAD);            b dies
 *     cluster_step(&c);                         decides once; what was decided is committed
 *     cluster_obey(&c);                         live peers start and stop what the intent says
 */
#pragma once

#include "node/control/control.h"
#include "node/control/view.h"
#include "tests/unit/consensus/intent_fixture.h"

enum {
    CLUSTER_CPU_MILLIS = 4000,
    CLUSTER_EXCLUSIVE_WAIT_MS = 10000,
    CLUSTER_MONITOR_MS = 5000, /* as specs have by default */
};

static const uint64_t cluster_memory_bytes = (uint64_t)4 << 30;

struct cluster {
    struct fixture f;
    struct view view;
    struct control *control;
    int64_t now_ms;
    int64_t deadline_ms;     /* as the last step returned it */
    enum view_health health; /* that replicas report which start */
    uint32_t bad_revision;   /* replicas of it crash; 0: none do */
};

void cluster_init(struct cluster *c, unsigned peer_count);
void cluster_done(struct cluster *c);

/* Another leader takes over: nothing is remembered. */
void cluster_new_leader(struct cluster *c);

void cluster_see(struct cluster *c, unsigned peer, enum view_liveness liveness);
void cluster_labels(struct cluster *c, unsigned peer, const char *labels);

/* Deploys the spec as stack "s" alone, and frees it. */
void cluster_deploy(struct cluster *c, struct service_spec *spec);

/* Lets control decide once and commits what it says. Returns how many changes of placement, plus
 * words on rollouts, that were. */
size_t cluster_step(struct cluster *c);
void cluster_obey(struct cluster *c);

/* Steps and obeys, and jumps to the deadlines until `limit_ms` from now, as long as anything is
 * due. */
void cluster_run(struct cluster *c, int64_t limit_ms);

/* Runs until nothing more is due. */
void cluster_calm(struct cluster *c);

void cluster_report(struct cluster *c, uint64_t generation, enum view_replica_state state,
                    enum view_health health);

/* The replicas of a service that shall run: in all, at a peer, of a revision, that serve. */
size_t cluster_count(const struct cluster *c, const char *service);
size_t cluster_count_at(const struct cluster *c, const char *service, unsigned peer);
size_t cluster_count_of(const struct cluster *c, const char *service, uint32_t revision);
size_t cluster_serving(const struct cluster *c, const char *service);

/* The only replica that shall run in a slot; the test fails if there is none or another. */
const struct intent_replica *cluster_replica(const struct cluster *c, const char *service,
                                             uint32_t slot);

uint8_t cluster_rollout_state(const struct cluster *c, const char *service);
