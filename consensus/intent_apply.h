/* Inside of the intent: one function a command, called by intent_apply() alone, and what they
 * share.
 *
 * Each checks first and changes after. It returns 0; -ENOMEM when the state can't be told any more;
 * or another negative errno when the command is refused: nothing was changed then, and the result's
 * error says why, with a hint what to do. That is none of -EAGAIN, -EBUSY, -EREMOTE and -ETIMEDOUT:
 * by those node/peer/proposals.c knows that asking again may help.
 */
#pragma once

#include "consensus/command.h"
#include "consensus/intent.h"

/* One command being applied. */
struct intent_apply {
    struct intent *intent;
    uint64_t index; /* of the log */
    const struct command_head *head;
    struct intent_result *result;
    bool no_memory;   /* an event could not be written down */
    bool is_outdated; /* the state is of a level that this build does not know */
};

int intent_apply_admit(struct intent_apply *apply, const struct command_admit *admit);
int intent_apply_peer_state(struct intent_apply *apply, const struct command_peer_state *change);
int intent_apply_token_create(struct intent_apply *apply, const struct intent_token *token);
int intent_apply_token_revoke(struct intent_apply *apply, const uint8_t *token_id);
int intent_apply_deploy(struct intent_apply *apply, struct command_deploy *deploy);
int intent_apply_scale(struct intent_apply *apply, const struct command_scale *scale);
int intent_apply_update(struct intent_apply *apply, struct command_update *update);
int intent_apply_rollback(struct intent_apply *apply, const struct command_rollback *rollback);
int intent_apply_remove(struct intent_apply *apply, const struct command_remove *remove);
int intent_apply_place(struct intent_apply *apply, const struct command_place *place);
int intent_apply_rollout(struct intent_apply *apply, const struct command_rollout *rollout);
int intent_apply_namesakes(struct intent_apply *apply, const struct command_namesakes *namesakes);
int intent_apply_gossip(struct intent_apply *apply, const struct command_gossip *change);
int intent_apply_blob_set(struct intent_apply *apply, const struct command_blob_set *set);
int intent_apply_blob_remove(struct intent_apply *apply, const struct command_blob_remove *remove);
int intent_apply_seal(struct intent_apply *apply, const struct command_seal *seal);
int intent_apply_quota(struct intent_apply *apply, const struct command_quota *change);
int intent_apply_level(struct intent_apply *apply, const struct command_level *raise);

/* Any command of level 1. */
int intent_apply_command(struct intent_apply *apply, struct command *command);

/* intent_apply_voters.c */
int intent_apply_voters(struct intent_apply *apply, const struct command_voters *change);

/* Remembers a change of the voters, which the configuration has already; the oldest one goes when
 * there is no room. */
void intent_succession_add(struct intent *intent, uint64_t index, const struct raft_seal *seal);

/* Writes down what happened, with the command's actor and time. */
void intent_event_add(struct intent_apply *apply, const char *kind, const char *subject,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Adds an event as it is, taking over its text; the oldest one goes when the ring is full. */
void intent_event_push(struct intent *intent, const struct intent_event *event);

/* Refuses a command for want of a service. Returns -ENOENT. */
int intent_refuse_service(struct intent_apply *apply, const char *name);

/* A token by which a newcomer asks in: 0, or why it is refused. */
int intent_token_check(struct intent_apply *apply, const uint8_t *token_id, uint8_t role);

/* Counts one use of a token that intent_token_check() accepted. */
void intent_token_use(struct intent *intent, const uint8_t *token_id);

/* Whether another revision may be added to the service: 0, or why it is refused. */
int intent_revision_check(struct intent_apply *apply, const struct intent_service *service);

/* Adds a revision with a copy of `spec`, makes it the wanted one and begins its rollout. */
int intent_revision_add(struct intent_apply *apply, struct intent_service *service,
                        const struct service_spec *spec);

/* Makes a known revision the wanted one and begins rolling it out; one that has other limits of CPU
 * and memory only is given to the replicas that run, which run on, and the rollout is done. -ENOMEM
 * changes nothing. */
int intent_rollout_begin(struct intent_apply *apply, struct intent_service *service,
                         uint32_t revision);

/* Whether the service's wanted revision is this spec, the number of replicas aside. -ENOMEM. */
int intent_spec_unchanged(const struct intent_service *service, const struct service_spec *spec,
                          bool *ret);

/* Whether both say the same, the number of replicas aside. -ENOMEM. */
int intent_specs_equal(const struct service_spec *a, const struct service_spec *b, bool *ret);

/* Whether the spec, as the service's next revision, would be given to the replicas that run:
 * nothing but limits of CPU and memory differs, and no rollout is under way. -ENOMEM. */
int intent_changes_in_place(const struct intent *intent, const struct intent_service *service,
                            const struct service_spec *spec, bool *ret);

/* Whether the deploy is refused: for what it says itself, whatever the state; and in all. 0, or why
 * in the result's error. They change nothing, and the first needs no intent. */
int intent_deploy_check_alone(struct intent_apply *apply, const struct command_deploy *deploy);
int intent_deploy_check(struct intent_apply *apply, const struct command_deploy *deploy);

/* Whether the service is one of the deploy's. */
bool intent_deploy_has_service(const struct command_deploy *deploy, const char *full_name);

/* Marks a service as going; it is gone at once if it has no replica. */
int intent_service_remove(struct intent_apply *apply, struct intent_service *service);

/* Drops services that are marked as going and have no replica any more. */
int intent_services_sweep(struct intent_apply *apply);

/* Adds what so many replicas of the spec have. */
void intent_usage_add(const struct intent *intent, const struct service_spec *spec,
                      uint32_t replicas, struct intent_usage *usage);

/* What a stack's services but that one (NULL: all) have together. */
struct intent_usage intent_usage_without(const struct intent *intent, const char *stack,
                                         const struct intent_service *left_out);

/* Whether the spec says what the stack's quota counts; whether the stack may have as much as is
 * asked for, in all or once one of its services is so. 0, or why not: -EDQUOT. */
int intent_quota_check_limits(struct intent_apply *apply, const char *stack, const char *full_name,
                              const struct service_spec *spec);
int intent_quota_check(struct intent_apply *apply, const char *stack,
                       const struct intent_usage *asked);
int intent_quota_check_service(struct intent_apply *apply, const struct intent_service *service,
                               const struct service_spec *spec, uint32_t replicas);

/* Whether so many more contents of so many bytes can be held: 0, or why not. */
int intent_blob_room(struct intent_apply *apply, size_t count, size_t size);

/* The same for so many keys of secrets that are sealed to peers. */
int intent_wrap_room(struct intent_apply *apply, size_t count);

/* Whether a secret that is to be set is sealed to any peer of the cluster; a config always is fine.
 * 0, or why not. */
int intent_blob_check_sealed(struct intent_apply *apply, const struct intent_blob *given);

/* Whether it is a config, or long enough to be a sealed secret. */
bool intent_blob_is_sealed(const struct intent_blob *blob);

/* Whether secrets can be sealed to that key: a peer of the cluster's. */
bool intent_may_hold(const struct intent *intent, const struct id *peer);

/* Gives `blob` those of the wraps that are for peers of the cluster. -ENOMEM. */
int intent_wraps_take(const struct intent *intent, const struct intent_blob *given,
                      struct intent_blob *blob);

/* Nothing is sealed any more to one that left or was revoked. Returns how many secrets were, each
 * of their versions counted. */
size_t intent_wraps_drop(struct intent *intent, const struct id *peer);

/* Whether the newest version of a config or secret has those contents. */
bool intent_blob_is_there(const struct intent *intent, const struct intent_blob *given);

/* Makes the contents the newest version of the stack's (or, for "", the cluster's own) config or
 * secret, unless it has them already; `*ret_version` is what it has then. */
int intent_blob_put(struct intent_apply *apply, const struct intent_blob *given, const char *stack,
                    uint64_t *ret_version);

/* Gives each file of the spec that names no version the newest one. */
void intent_blob_resolve(const struct intent *intent, struct service_spec *spec);

/* Drops the versions that no revision of any service shows to its containers; of the cluster's own,
 * the newest stays. */
int intent_blobs_sweep(struct intent *intent);

/* The same for the older versions of the one that was just set: all others are as they were. */
void intent_blob_sweep_older(struct intent *intent, const struct intent_blob *newest);

/* Letters, digits, '-', '_' and '.', the first a letter or digit: what stands in names. */
bool intent_name_is_valid(const char *name);

/* Memory of the things in the tables; the free functions accept NULL. */
struct intent_service *intent_service_new(void);
void intent_service_free(struct intent_service *service);
void intent_revision_free(struct intent_revision *revision);
void intent_blob_free(struct intent_blob *blob);
