/* The command line's side of the API (docs/api.md): one connection, one call at a time, waited for.
 *
 * Where it connects to, the first of these that is set: --context, --socket, CONSORT_CONTEXT,
 * CONSORT_SOCKET, the context chosen by `consort context use`, the default socket. A context is a
 * fleet elsewhere, reached over an encrypted link with an operator's key (contexts.h).
 *
 *     client_open(cli, &client, &error);
 *     client_begin(client, "logs", params, &handler, context);   notes come to the handler …
 *     client_finish(client, &result, &error);                    … from inside this
 *     client_close(client);
 */
#pragma once

#include <uv.h>

#include "base/buffer.h"
#include "node/cli/cli.h"

#define CLIENT_SOCKET_DEFAULT "/run/consort/consort.sock"

struct client;

/* May be NULL in a call that has no notes. `payload` is packed, and borrowed for the call. */
struct client_handler {
    void (*on_note)(void *context, const char *kind, struct bytes payload);
    void (*on_drained)(void *context); /* after client_note() returned 1 */
};

/* The socket of the local peer: --socket, CONSORT_SOCKET or the default. */
const char *client_socket_path(const struct cli *cli);

/* The name of the context that is used, or NULL for the local peer. `current` has room for a name,
 * and what is returned may be there. */
const char *client_context(const struct cli *cli, char *current);

/* Errors have words and a hint. NULL is accepted by client_close(). */
int client_open(const struct cli *cli, struct client **ret, struct error *error);
void client_close(struct client *client);

/* Whose loop client_finish() runs: for what a verb waits for beside the answer. Its owner closes
 * its handles before client_close(). */
uv_loop_t *client_loop(struct client *client);

/* `params` is a packed map, or empty. */
int client_begin(struct client *client, const char *method, struct bytes params,
                 const struct client_handler *handler, void *context);

/* Sends a note that belongs to the call. 1 when the sender should wait for on_drained, 0, or a
 * negative errno. */
int client_note(struct client *client, const char *kind, struct bytes payload);

/* Waits for the answer: 0 and the result (`ret` may be NULL), or what failed. */
int client_finish(struct client *client, json_t **ret, struct error *error);

/* The answer's result as it came, packed: borrowed until the next call or client_close(). */
struct bytes client_packed(const struct client *client);

/* client_begin() and client_finish(). */
int client_call(struct client *client, const char *method, struct bytes params,
                const struct client_handler *handler, void *context, json_t **ret,
                struct error *error);

/* As client_call, with params as a JSON value, which it takes over (NULL: none, or no memory for
 * what json_pack() should have made, which the peer then refuses). */
int client_call_json(struct client *client, const char *method, json_t *params,
                     const struct client_handler *handler, void *context, json_t **ret,
                     struct error *error);
