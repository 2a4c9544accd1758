/* The clients in whose names a peer proposes (docs/decisions/applied-once.md).
 *
 *     clients_take(&clients, random, &client);           one that has nothing under way
 *     … propose it, and again, by client.id and client.sequence …
 *     clients_give_back(&clients, &client);              answered, or given up
 *
 * A client has one command under way, so there are as many as a peer ever had commands at once.
 * They end with the process: nothing of them is stored.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct client {
    uint64_t id;
    uint64_t sequence; /* of its command */
};

struct clients {
    struct client *idle; /* the one that was given back last is taken first */
    size_t count, capacity;
};

void clients_done(struct clients *clients);

/* An idle client with its next sequence; a new one, called `fresh`, if there is none. `fresh` is
 * drawn at random and not 0. */
void clients_take(struct clients *clients, uint64_t fresh, struct client *ret);

/* Whatever came of its command: the next one of this client makes it void if it is still under way.
 * Without memory the client is forgotten. */
void clients_give_back(struct clients *clients, const struct client *client);
