/* Levels of the replicated state machine: how peers of several versions apply the same.
 *
 * A level is a number. It says which types of commands there are, how each is written, what
 * applying it does, and how the whole state is written. The state says at which level it is;
 * nothing above that has any effect, whoever could read it. So peers that know more and peers that
 * know less come to the same state, until all of them know more: then the leader raises the level,
 * by a command (node/control/level.h says when). It is never lowered, and whoever does not know a
 * level that was raised to stops, and says which version it takes.
 *
 * To add a type of command: a new level at the end of `levels`, with a table of its own. To add a
 * field to what there is: a new level as well; the codecs look at `head.level` of a command, at
 * `level.number` of an intent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct command;
struct intent_apply;
struct reader;
struct writer;

/* How the body of one type of command is written and read. */
struct command_kind {
    void (*write)(struct writer *writer, const struct command *command);
    void (*read)(struct reader *reader, struct command *command);
};

/* What the levels after the first brought, for codecs to look at. */
enum {
    LEVEL_ADDRESSES = 2, /* a spec's networks have subnets, and the service has addresses in them */
};

struct level {
    const char *version;              /* of consort, the first one that knows it */
    const struct command_kind *kinds; /* the types that it adds, numbered on from those before */
    size_t kind_count;
    int (*apply)(struct intent_apply *apply, struct command *command); /* one of those */
};

/* What this build knows: level 1 first, up to level_newest. */
extern const struct level levels[];
extern const uint32_t level_newest;

/* The level that brought that type of command, 0: none has yet; and how its body is written. */
uint32_t level_of_type(uint8_t type, const struct command_kind **ret_kind);

/* The version of consort that a known level takes; "a newer version" for others. */
const char *level_version(uint32_t level);
