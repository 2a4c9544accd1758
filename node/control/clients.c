#include "node/control/clients.h"

#include <stdlib.h>

void clients_done(struct clients *clients)
{
    free(clients->idle);
    *clients = (struct clients){0};
}

void clients_take(struct clients *clients, uint64_t fresh, struct client *ret)
{
    *ret = clients->count > 0 ? clients->idle[--clients->count] : (struct client){.id = fresh};
    ret->sequence++;
}

void clients_give_back(struct clients *clients, const struct client *client)
{
    if (clients->count == clients->capacity) {
        size_t capacity = clients->capacity > 0 ? 2 * clients->capacity : 4;
        struct client *idle = realloc(clients->idle, capacity * sizeof(*idle));
        if (!idle)
            return;
        clients->idle = idle;
        clients->capacity = capacity;
    }
    clients->idle[clients->count++] = *client;
}
