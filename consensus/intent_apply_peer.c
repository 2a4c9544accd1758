/* Who belongs to the cluster: admitting keys, draining, leaving, revoking. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/intent_apply.h"

static const char *kind_of(uint8_t role)
{
    return role == INTENT_PEER ? "peer" : "operator";
}

/* A key that is known already asks again: the answer is the same, unless it asks for something
 * else. */
static int admit_again(struct intent_apply *apply, const struct intent_peer *peer,
                       const struct command_admit *admit)
{
    if (peer->role != admit->role) {
        error_set(&apply->result->error, -EEXIST, "this key is admitted already, as %s %s",
                  intent_role_text(peer->role), peer->name);
        error_hint(&apply->result->error, "make another key for the other role");
        return -EEXIST;
    }
    apply->result->serial = peer->serial;
    apply->result->unchanged = true;
    return 0;
}

static int admit_check(struct intent_apply *apply, const struct intent_peer *peer,
                       const struct command_admit *admit)
{
    struct error *error = &apply->result->error;
    if (!intent_name_is_valid(admit->name)) {
        error_set(error, -EINVAL, "\"%s\" can't be a name", admit->name);
        error_hint(error, "use letters, digits, '-', '_' and '.'");
        return -EINVAL;
    }
    const struct intent_peer *holder = intent_peer_by_name(apply->intent, admit->name);
    if (holder && holder != peer && intent_peer_is_member(holder)) {
        error_set(error, -EEXIST, "the name %s is taken by another %s (key %s)", admit->name,
                  kind_of(holder->role), id_short(&holder->id));
        error_hint(error, "choose another name, or shut that one out: consort peer revoke %s",
                   admit->name);
        return -EEXIST;
    }
    if (!peer && apply->intent->peers.count >= INTENT_PEERS_MAX)
        return error_set(error, -ENOSPC, "the cluster knows %d keys, which is the most it can",
                         INTENT_PEERS_MAX);
    return admit->has_token ? intent_token_check(apply, admit->token_id, admit->role) : 0;
}

static struct intent_peer *peer_add(struct intent *intent, const struct id *id)
{
    struct intent_peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return NULL;
    peer->id = *id;
    if (table_insert(&intent->peers, peer) < 0) {
        free(peer);
        return NULL;
    }
    return peer;
}

int intent_apply_admit(struct intent_apply *apply, const struct command_admit *admit)
{
    struct intent *intent = apply->intent;
    struct intent_peer *peer = intent_peer_find(intent, &admit->id);
    if (peer && peer->state == INTENT_REVOKED) {
        error_set(&apply->result->error, -EPERM, "the key %s of %s was revoked",
                  id_short(&peer->id), peer->name);
        error_hint(&apply->result->error, "a revoked key never comes back: make a new one");
        return -EPERM;
    }
    /* What Raft must not forget it may have forgotten with the cluster. */
    if (peer && peer->state == INTENT_LEFT && peer->role == INTENT_PEER) {
        error_set(&apply->result->error, -EPERM, "the key %s of %s has left the cluster",
                  id_short(&peer->id), peer->name);
        error_hint(&apply->result->error, "a key that has left never comes back: move the data "
                                          "directory away, and join again with a new token");
        return -EPERM;
    }
    if (peer && intent_peer_is_member(peer))
        return admit_again(apply, peer, admit);
    int rc = admit_check(apply, peer, admit);
    if (rc < 0)
        return rc;
    if (!peer)
        peer = peer_add(intent, &admit->id);
    if (!peer)
        return -ENOMEM;
    if (admit->has_token)
        intent_token_use(intent, admit->token_id);
    snprintf(peer->name, sizeof(peer->name), "%s", admit->name);
    peer->role = admit->role;
    peer->state = INTENT_ACTIVE;
    peer->serial = intent->next_serial++;
    peer->admitted_index = apply->index;
    peer->admitted_wall_ms = peer->state_wall_ms = apply->head->wall_ms;
    apply->result->serial = peer->serial;
    intent_event_add(apply, kind_of(peer->role), peer->name, "admitted as %s with key %s%s",
                     intent_role_text(peer->role), id_short(&peer->id),
                     admit->has_token ? ", by a token" : "");
    return 0;
}

static int state_check(struct intent_apply *apply, const struct intent_peer *peer, uint8_t state)
{
    struct error *error = &apply->result->error;
    if (peer->state == INTENT_REVOKED)
        return error_set(error, -EPERM, "%s is revoked, which is final", peer->name);
    if (peer->state == INTENT_LEFT && state != INTENT_REVOKED) {
        error_set(error, -EPERM, "%s has left", peer->name);
        error_hint(error, "it may join again with a token: consort token create");
        return -EPERM;
    }
    if (peer->role != INTENT_PEER && state == INTENT_DRAINING)
        return error_set(error, -EINVAL, "%s is an operator: there is nothing to drain",
                         peer->name);
    return 0;
}

int intent_apply_peer_state(struct intent_apply *apply, const struct command_peer_state *change)
{
    static const char *const words[] = {"takes replicas again", "is draining: its replicas move",
                                        "left the cluster", "was revoked: its key is shut out"};
    struct intent_peer *peer = intent_peer_find(apply->intent, &change->id);
    if (!peer) {
        error_set(&apply->result->error, -ENOENT, "there is no peer or operator with key %s",
                  id_short(&change->id));
        error_hint(&apply->result->error, "see who there is: consort peer ls");
        return -ENOENT;
    }
    if (peer->state == change->state) {
        apply->result->unchanged = true;
        return 0;
    }
    int rc = state_check(apply, peer, change->state);
    if (rc < 0)
        return rc;
    peer->state = change->state;
    peer->state_wall_ms = apply->head->wall_ms;
    size_t known = intent_peer_is_member(peer) ? 0 : intent_wraps_drop(apply->intent, &peer->id);
    if (known > 0 && peer->state == INTENT_REVOKED)
        intent_event_add(apply, kind_of(peer->role), peer->name,
                         "%s; it could read secrets, %zu with all their versions: replace them",
                         words[change->state], known);
    else
        intent_event_add(apply, kind_of(peer->role), peer->name, "%s", words[change->state]);
    return 0;
}

static bool is_namesake(const struct intent_peer *peer, const struct intent_peer *other)
{
    return peer && other && peer != other && peer->role == other->role &&
           intent_peer_is_member(peer) && intent_peer_is_member(other) &&
           strcmp(peer->name, other->name) == 0;
}

/* Whether the history says so already: a new leader sees for itself what the last one saw. */
static bool is_told(const struct intent *intent, const char *name, const char *text)
{
    const struct intent_event *event;
    for (size_t i = 0; (event = intent_event_at(intent, i)); i++)
        if (strcmp(event->subject, name) == 0 && strcmp(event->text, text) == 0)
            return true;
    return false;
}

int intent_apply_namesakes(struct intent_apply *apply, const struct command_namesakes *namesakes)
{
    const struct intent_peer *peer = intent_peer_find(apply->intent, &namesakes->ids[0]);
    const struct intent_peer *other = intent_peer_find(apply->intent, &namesakes->ids[1]);
    char text[128], first[ID_SHORT_TEXT_BYTES];
    if (!is_namesake(peer, other))
        return error_set(&apply->result->error, -ESTALE, "they don't have one name");
    snprintf(first, sizeof(first), "%s", id_short(&peer->id));
    snprintf(text, sizeof(text), "is the name of two living peers: %s and %s", first,
             id_short(&other->id));
    if (is_told(apply->intent, peer->name, text))
        apply->result->unchanged = true;
    else
        intent_event_add(apply, kind_of(peer->role), peer->name, "%s", text);
    return 0;
}
