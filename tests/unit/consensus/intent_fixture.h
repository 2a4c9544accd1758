/* An intent for tests, changed by the commands that a cluster would commit.
 *
 *     struct fixture f;
 *     fixture_init(&f, 3);                          peers a, b and c
 *     fixture_spec(&spec, "web");
 *     fixture_deploy(&f, "hello", &spec, 1);
 *     fixture_add(&f, "hello_web", 1, 1, 0);        its first replica, on a
 *
 * Each command goes through its encoding. Those functions return the result's code; all of the
 * result stands in `result`.
 */
#pragma once

#include "consensus/command.h"
#include "consensus/intent.h"

struct fixture {
    struct intent *intent;
    uint64_t index;
    int64_t wall_ms;
    struct intent_result result;
};

void fixture_init(struct fixture *f, unsigned peer_count);
void fixture_done(struct fixture *f);

/* The intent is written and read again, as by a snapshot. */
void fixture_restart(struct fixture *f);

/* The id of peer 0, 1, …, whose name is a, b, … */
struct id fixture_id(unsigned number);

/* A command of that type by the operator "ann". */
struct command fixture_command(const struct fixture *f, enum command_type type);
int fixture_apply(struct fixture *f, const struct command *command);

/* To the newest level. */
int fixture_raise(struct fixture *f);

int fixture_admit(struct fixture *f, unsigned number, const char *name);
int fixture_peer_state(struct fixture *f, unsigned number, enum intent_peer_state state);

/* A spec with an image; the caller frees it, after the deploy. */
void fixture_spec(struct service_spec *spec, const char *name);
void fixture_publish(struct service_spec *spec, uint16_t published);

/* The config of that name, as its only file. */
void fixture_show_config(struct service_spec *spec, const char *name);
int fixture_deploy(struct fixture *f, const char *stack, struct service_spec *specs, size_t count);
int fixture_scale(struct fixture *f, const char *service, uint32_t replicas);
int fixture_remove(struct fixture *f, const char *name, bool is_stack);

int fixture_place(struct fixture *f, struct command_place_change *changes, size_t count);
int fixture_add(struct fixture *f, const char *service, uint32_t slot, uint32_t revision,
                unsigned peer);
int fixture_end(struct fixture *f, enum command_place_action action, uint64_t generation);
int fixture_rollout(struct fixture *f, const char *service, enum intent_rollout_state state,
                    uint32_t revision, const char *reason);

struct intent_service *fixture_service(const struct fixture *f, const char *name);
const struct intent_event *fixture_last_event(const struct fixture *f);

/* A secret as sealed to the first peers, with its content still legible: to apply, it is all one.
 * intent_blob_done() frees it. */
void fixture_secret(struct intent_blob *blob, const char *name, const char *content,
                    unsigned peer_count);

/* Seals version `version` of the secret to that peer, or drops its key. */
int fixture_seal(struct fixture *f, const char *name, uint64_t version, unsigned peer, bool drops);

/* Fails the test unless both intents have the same bytes. */
void fixture_assert_same(const struct intent *a, const struct intent *b);
