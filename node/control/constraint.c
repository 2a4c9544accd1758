#include "node/control/constraint.h"

#include <string.h>

static const char labels_prefix[] = "node.labels.";

static struct bytes trim(const char *text, size_t size)
{
    while (size > 0 && text[0] == ' ') {
        text++;
        size--;
    }
    while (size > 0 && text[size - 1] == ' ')
        size--;
    return (struct bytes){(const uint8_t *)text, size};
}

/* Finds KEY's value in "disk=ssd,zone=a". */
static struct bytes label_value(const char *labels, const char *key, size_t key_size)
{
    while (*labels) {
        const char *end = strchrnul(labels, ',');
        const char *equals = memchr(labels, '=', (size_t)(end - labels));
        if (equals && (size_t)(equals - labels) == key_size && memcmp(labels, key, key_size) == 0)
            return (struct bytes){(const uint8_t *)equals + 1, (size_t)(end - equals - 1)};
        labels = *end ? end + 1 : end;
    }
    return (struct bytes){0};
}

static bool key_is(const char *key, size_t key_size, const char *text)
{
    return key_size == strlen(text) && memcmp(key, text, key_size) == 0;
}

struct bytes constraint_value(const char *key, size_t key_size, const struct intent_peer *peer,
                              const struct view_capacity *capacity)
{
    size_t prefix_size = sizeof(labels_prefix) - 1;
    if (key_size > prefix_size && memcmp(key, labels_prefix, prefix_size) == 0) {
        if (!capacity)
            return (struct bytes){0};
        return label_value(capacity->labels, key + prefix_size, key_size - prefix_size);
    }
    if (key_is(key, key_size, "node.name") || key_is(key, key_size, "node.hostname"))
        return bytes_of_text(peer->name);
    return (struct bytes){0};
}

/* An id may be written in full, or as people see it: its first digits. */
static bool id_matches(const struct id *id, struct bytes value)
{
    char text[ID_TEXT_BYTES];
    id_format(id, text);
    return value.size >= ID_SHORT_TEXT_BYTES - 1 && value.size < ID_TEXT_BYTES &&
           memcmp(text, value.data, value.size) == 0;
}

bool constraint_is_met(const char *constraint, const struct intent_peer *peer,
                       const struct view_capacity *capacity)
{
    const char *sign = strstr(constraint, "==");
    bool wanted = sign != NULL;
    if (!sign)
        sign = strstr(constraint, "!=");
    if (!sign)
        return false;
    struct bytes key = trim(constraint, (size_t)(sign - constraint));
    struct bytes value = trim(sign + 2, strlen(sign + 2));
    if (key_is((const char *)key.data, key.size, "node.id"))
        return id_matches(&peer->id, value) == wanted;
    struct bytes found = constraint_value((const char *)key.data, key.size, peer, capacity);
    return (found.size > 0 && bytes_equal(found, value)) == wanted;
}

const char *constraint_unmet(const struct text_list *constraints, const struct intent_peer *peer,
                             const struct view_capacity *capacity)
{
    for (size_t i = 0; i < constraints->count; i++)
        if (!constraint_is_met(constraints->items[i], peer, capacity))
            return constraints->items[i];
    return NULL;
}
