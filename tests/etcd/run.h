/* The kinds of scripts, and how a run of one ends. */
#pragma once

#include "base/buffer.h"
#include "tests/etcd/script.h"

enum outcome {
    OUTCOME_SAME,
    OUTCOME_DIFFERENT,
    OUTCOME_SKIPPED, /* it uses what Consort's design has not: docs/decisions/etcd-scripts.md */
};

/* Run a whole script. For another outcome than SAME, `ret_why` says where and what. */
enum outcome run_interaction(struct script *script, struct buffer *ret_why);
enum outcome run_confchange(struct script *script, struct buffer *ret_why);
enum outcome run_quorum(struct script *script, struct buffer *ret_why);

/* "FILE:LINE: directive" and a difference. */
enum outcome differs(const struct script *script, const struct directive *directive,
                     const char *what, const char *expected, const char *found,
                     struct buffer *ret_why);
