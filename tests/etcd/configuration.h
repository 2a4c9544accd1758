/* etcd's words for members, changes and configurations, and ours. A node's number is its id. */
#pragma once

#include "consensus/raft_configuration.h"
#include "tests/etcd/script.h"

struct id id_of_number(uint64_t number);
uint64_t number_of_id(const struct id *id);

/* Reads "v1 l2 r3" (voters and learners added, members removed) into `ret`; "u4", which changes
 * nothing, is passed over. False if it is anything else, or too much. */
bool changes_of_text(const char *text, struct raft_changes *ret);

/* "v1 l2 r3" again. */
void text_of_changes(const struct raft_changes *changes, struct buffer *ret);

/* The configuration of those voters and learners. */
struct raft_configuration configuration_of(const struct numbers *voters,
                                           const struct numbers *learners);

/* "voters=(1 2)&&(1) learners=(3) learners_next=(2) autoleave", as etcd prints it. */
void text_of_configuration(const struct raft_configuration *configuration, struct buffer *ret);

void append_text(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The buffer's text, borrowed until it changes. */
const char *text_of(struct buffer *buffer);
