/* Our nodes beside etcd's, after each directive: term, vote, commit index, role, leader, log,
 * configuration, what was applied, and which messages refused something. */
#pragma once

#include "tests/etcd/expected.h"
#include "tests/etcd/run.h"

struct comparison {
    const struct script *script;
    const struct directive *directive;
    struct cluster *cluster;
    const struct expected *expected;
    bool dropped; /* our node refused the proposal */
    struct buffer *why;
};

enum outcome compare(const struct comparison *comparison);
