#include "node/api/find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/api/describe.h"
#include "node/control/stand_in.h"
#include "node/peer/replicas.h"

void fail_find(struct api_call *call, const struct error *error)
{
    api_fail_with(call, error->code, error->hint, "%s", error->message);
}

/* "two", "three", … for messages. */
static const char *number_word(size_t count, char ret[24])
{
    static const char *const words[] = {"no", "one", "two", "three", "four"};
    if (count < sizeof(words) / sizeof(words[0]))
        return words[count];
    snprintf(ret, 24, "%zu", count);
    return ret;
}

/* Adds the next of `count` things to "a, b and c", or "a, b and 7 more". */
static void list_add(struct buffer *list, size_t number, size_t count, const char *text)
{
    if (number >= FIND_LISTED_MAX)
        return;
    bool is_cut = count > FIND_LISTED_MAX && number == FIND_LISTED_MAX - 1;
    const char *between = number == 0 ? "" : number + 1 == count || is_cut ? " and " : ", ";
    if (is_cut)
        buffer_printf(list, "%s%zu more", between, count - number);
    else
        buffer_printf(list, "%s%s", between, text);
}

static void say_several(struct error *error, const char *words, const char *kind,
                        const struct buffer *list, size_t count)
{
    char number[24];
    error_set(error, -ENOTUNIQ, "%s is %s %s: %.*s", words, number_word(count, number), kind,
              (int)list->size, list->size > 0 ? (const char *)list->bytes : "");
}

/* --- Peers --- */

/* What a peer is found by, each only if the one before finds nothing. */
enum peer_match { BY_MEMBER_NAME, BY_NAME, BY_ID, PEER_MATCHES };

static bool matches(const struct intent_peer *peer, const char *words, enum peer_match match)
{
    char hex[ID_TEXT_BYTES];
    switch (match) {
    case BY_MEMBER_NAME:
        return intent_peer_is_member(peer) && strcmp(peer->name, words) == 0;
    case BY_NAME:
        return strcmp(peer->name, words) == 0;
    case BY_ID:
        id_format(&peer->id, hex);
        return strlen(words) >= FIND_ID_DIGITS_MIN && strncmp(hex, words, strlen(words)) == 0;
    case PEER_MATCHES:
        break;
    }
    return false;
}

/* The digits that two ids begin with alike. */
static size_t common_digits(const struct id *a, const struct id *b)
{
    char left[ID_TEXT_BYTES], right[ID_TEXT_BYTES];
    size_t count = 0;
    id_format(a, left);
    id_format(b, right);
    while (count < ID_TEXT_BYTES - 1 && left[count] == right[count])
        count++;
    return count;
}

/* Names those that match, by as many digits as tell each from the next: they are in order. */
static void say_peers(const struct intent *intent, const char *words, enum peer_match match,
                      size_t count, struct error *error)
{
    cleanup_buffer struct buffer list = {0};
    const struct intent_peer *last = NULL;
    size_t digits = FIND_ID_DIGITS_MIN, number = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < intent->peers.count; i++) {
            const struct intent_peer *peer = intent->peers.items[i];
            char hex[ID_TEXT_BYTES];
            if (!matches(peer, words, match))
                continue;
            if (pass == 0 && last && common_digits(&last->id, &peer->id) >= digits)
                digits = common_digits(&last->id, &peer->id) + 1;
            last = peer;
            id_format(&peer->id, hex);
            hex[digits] = '\0';
            if (pass == 1)
                list_add(&list, number++, count, hex);
        }
    }
    say_several(error, words, "peers", &list, count);
    error_hint(error, "use an id, as consort peer ls shows them");
}

const struct intent_peer *find_peer(const struct intent *intent, const char *words,
                                    struct error *error)
{
    for (enum peer_match match = 0; match < PEER_MATCHES; match++) {
        const struct intent_peer *found = NULL;
        size_t count = 0;
        for (size_t i = 0; i < intent->peers.count; i++) {
            if (!matches(intent->peers.items[i], words, match))
                continue;
            found = intent->peers.items[i];
            count++;
        }
        if (count == 1)
            return found;
        if (count > 1) {
            say_peers(intent, words, match, count, error);
            return NULL;
        }
    }
    bool is_short_id = words[0] != '\0' && strlen(words) < FIND_ID_DIGITS_MIN &&
                       words[strspn(words, "0123456789abcdef")] == '\0';
    error_set(error, -ENOENT, "there is no peer %s", words);
    if (is_short_id)
        error_hint(error,
                   "list them with: consort peer ls; of an id, 12 or more digits are needed");
    else
        error_hint(error, "list them with: consort peer ls");
    return NULL;
}

/* --- Services --- */

/* Whether `name` is the service's within its stack: "web" for "hello_web". */
static bool is_short_name(const struct intent_service *service, const char *name)
{
    size_t stack = strlen(service->stack);
    return strncmp(service->name, service->stack, stack) == 0 && service->name[stack] == '_' &&
           strcmp(service->name + stack + 1, name) == 0;
}

static void say_services(const struct intent *intent, const char *words, size_t count,
                         struct error *error)
{
    cleanup_buffer struct buffer list = {0};
    size_t number = 0;
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        if (is_short_name(service, words))
            list_add(&list, number++, count, service->name);
    }
    say_several(error, words, "services", &list, count);
    error_hint(error, "say the stack too: STACK_%s", words);
}

const struct intent_service *find_service(const struct peer *peer, const char *words,
                                          struct error *error)
{
    const struct intent *intent = agent_intent(peer->agent);
    const struct intent_service *found = intent_service_find(intent, words);
    size_t count = 0;
    if (found)
        return found;
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        if (!is_short_name(service, words))
            continue;
        found = service;
        count++;
    }
    if (count > 1) {
        say_services(intent, words, count, error);
        return NULL;
    }
    if (!found) {
        error_set(error, -ENOENT, "there is no service %s", words);
        error_hint(error, "list them with: consort service ls");
    }
    return found;
}

/* --- Replicas --- */

/* Cuts ".N" off the end of `text`; false, and nothing is changed, if it does not end so. */
static bool cut_number(char *text, uint64_t *ret)
{
    char *dot = strrchr(text, '.');
    if (!dot || dot[1] < '1' || dot[1] > '9' || dot[1 + strspn(dot + 1, "0123456789")] != '\0')
        return false;
    errno = 0;
    uint64_t number = strtoull(dot + 1, NULL, 10);
    if (errno != 0)
        return false;
    *dot = '\0';
    *ret = number;
    return true;
}

static const struct intent_replica *find_in_slot(const struct peer *peer, const char *service,
                                                 uint64_t slot, uint64_t generation,
                                                 struct error *error)
{
    const struct intent *intent = agent_intent(peer->agent);
    const struct intent_service *found = find_service(peer, service, error);
    const struct intent_replica *best = NULL, *replica;
    for (size_t i = 0; found && (replica = any_replica_at(intent, agent_view(peer->agent), i));
         i++) {
        if (strcmp(replica->service, found->name) != 0 || replica->slot != slot ||
            (generation != 0 && replica->generation != generation))
            continue;
        if (!best || !replica_serves(peer, best) || replica_serves(peer, replica))
            best = replica;
    }
    return best;
}

/* A service's name may have dots and numbers itself, so both ways to read the end are tried. */
const struct intent_replica *find_replica(const struct peer *peer, const char *words,
                                          struct error *error)
{
    char text[INTENT_SERVICE_NAME_BYTES_MAX + 48];
    const struct intent_replica *found = NULL;
    struct error first = {0}, second = {0};
    uint64_t last, before;
    size_t length = strlen(words);
    if (length < sizeof(text)) {
        memcpy(text, words, length + 1);
        if (cut_number(text, &last))
            found = find_in_slot(peer, text, last, 0, &first);
        if (!found && text[0] != '\0' && strlen(text) < length && cut_number(text, &before))
            found = find_in_slot(peer, text, before, last, &second);
    }
    if (found || !error)
        return found;
    if (first.code == -ENOTUNIQ || second.code == -ENOTUNIQ) {
        *error = first.code == -ENOTUNIQ ? first : second;
        return NULL;
    }
    error_set(error, -ENOENT, "there is no replica %s", words);
    error_hint(error, "list them with: consort ps");
    return NULL;
}

/* --- Tokens --- */

const struct intent_token *find_token(const struct intent *intent, const char *words,
                                      struct error *error)
{
    cleanup_buffer struct buffer list = {0};
    const struct intent_token *found = NULL;
    size_t count = 0, number = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < intent->tokens.count && words[0] != '\0'; i++) {
            const struct intent_token *token = intent->tokens.items[i];
            char hex[2 * INTENT_TOKEN_ID_BYTES + 1];
            hex_encode(token->id, sizeof(token->id), hex);
            if (strncmp(hex, words, strlen(words)) != 0)
                continue;
            found = token;
            if (pass == 0)
                count++;
            else
                list_add(&list, number++, count, hex);
        }
    }
    if (count == 1)
        return found;
    if (count > 1)
        say_several(error, words, "tokens", &list, count);
    else
        error_set(error, -ENOENT, "no token begins with \"%s\"", words);
    error_hint(error, "list them with: consort token ls");
    return NULL;
}

/* --- What calls name --- */

const struct intent_peer *wanted_peer(struct api_call *call, struct bytes params)
{
    return peer_of_param(call, params, "peer");
}

const struct intent_peer *peer_of_param(struct api_call *call, struct bytes params, const char *key)
{
    char words[ID_TEXT_BYTES] = "";
    struct error error = {0};
    frame_text(params, key, words, sizeof(words));
    const struct intent_peer *peer = find_peer(agent_intent(call->peer->agent), words, &error);
    if (!peer)
        fail_find(call, &error);
    return peer;
}

const struct intent_service *wanted_service(struct api_call *call, struct bytes params)
{
    char words[INTENT_SERVICE_NAME_BYTES_MAX + 1] = "";
    struct error error = {0};
    frame_text(params, "service", words, sizeof(words));
    const struct intent_service *service = find_service(call->peer, words, &error);
    if (!service)
        fail_find(call, &error);
    return service;
}

const struct intent_service *wanted_subject(struct api_call *call, struct bytes params,
                                            const struct intent_replica **ret_replica)
{
    char words[INTENT_SERVICE_NAME_BYTES_MAX + 32] = "";
    struct error no_replica = {0}, no_service = {0};
    frame_text(params, "subject", words, sizeof(words));
    const struct intent_replica *replica = find_replica(call->peer, words, &no_replica);
    const struct intent_service *service =
        replica ? intent_service_find(agent_intent(call->peer->agent), replica->service)
                : find_service(call->peer, words, &no_service);
    if (service)
        *ret_replica = replica;
    else if (no_service.code == -ENOTUNIQ || no_replica.code == -ENOTUNIQ)
        fail_find(call, no_service.code == -ENOTUNIQ ? &no_service : &no_replica);
    else
        api_fail_with(call, -ENOENT, "list them with: consort service ls, consort ps",
                      "there is no service or replica %s", words);
    return service;
}

const struct intent_replica *find_container_here(struct api_call *call, struct bytes params,
                                                 char ret_id[RUNTIME_ID_BYTES_MAX + 1])
{
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 32] = "";
    struct error error = {0};
    frame_text(params, "replica", name, sizeof(name));
    const struct intent_replica *replica = find_replica(call->peer, name, &error);
    if (!replica)
        fail_find(call, &error);
    else if (!id_equal(&replica->peer, &call->peer->identity.id))
        api_forward(call, &replica->peer, params);
    else if (!replicas_container_id(call->peer->replicas, replica->generation, ret_id))
        api_fail_with(call, -ESRCH, "see its state with: consort ps", "%s does not run yet", name);
    else
        return replica;
    return NULL;
}

const struct intent_service *named_service(struct api_call *call, struct bytes params,
                                           char ret_name[INTENT_SERVICE_NAME_BYTES_MAX + 1])
{
    const struct intent_service *service = wanted_service(call, params);
    if (service)
        memcpy(ret_name, service->name, INTENT_SERVICE_NAME_BYTES_MAX + 1);
    return service;
}
