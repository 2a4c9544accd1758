#include "node/transport/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ip_network.h"

enum {
    WORD_BYTES_MAX = 80, /* "cut=" and an address */
};

void fault_init(struct fault *fault, uint64_t seed)
{
    *fault = (struct fault){0};
    random_init(&fault->random, seed);
}

static int parse_word(struct fault *fault, const char *word, struct error *error)
{
    struct address address;
    if (strncmp(word, "drop=", 5) == 0) {
        char *end;
        errno = 0;
        unsigned long per_mille = strtoul(word + 5, &end, 10);
        if (word[5] >= '0' && word[5] <= '9' && *end == '\0' && per_mille <= FAULT_WHOLE) {
            fault_set_drop(fault, (unsigned)per_mille);
            return 0;
        }
    } else if (strncmp(word, "cut=", 4) == 0 && address_parse(word + 4, 0, &address) == 0) {
        if (fault_cut(fault, &address) == 0)
            return 0;
        return error_set(error, -ENOSPC, "faults: more than %d cuts", FAULT_CUTS_MAX);
    }
    return error_set(error, -EINVAL, "faults: '%s' is not drop=PER_MILLE or cut=IP[:PORT]", word);
}

int fault_parse(struct fault *fault, const char *text, struct error *error)
{
    struct fault parsed = *fault;
    while (*text != '\0') {
        char word[WORD_BYTES_MAX];
        size_t size = strcspn(text, ",");
        if (size >= sizeof(word))
            return error_set(error, -EINVAL, "faults: '%.20s…' is too long", text);
        memcpy(word, text, size);
        word[size] = '\0';
        int rc = parse_word(&parsed, word, error);
        if (rc < 0)
            return rc;
        text += size + (text[size] == ',');
    }
    *fault = parsed;
    return 0;
}

void fault_set_drop(struct fault *fault, unsigned per_mille)
{
    fault->drop_per_mille = per_mille < FAULT_WHOLE ? per_mille : FAULT_WHOLE;
}

static bool matches(const struct address *cut, const struct address *address)
{
    return ip_equal(cut, address) && (cut->port == 0 || cut->port == address->port);
}

int fault_cut(struct fault *fault, const struct address *address)
{
    for (size_t i = 0; i < fault->cut_count; i++) {
        if (address_equal(&fault->cuts[i], address))
            return 0;
    }
    if (fault->cut_count == FAULT_CUTS_MAX)
        return -ENOSPC;
    fault->cuts[fault->cut_count++] = *address;
    return 0;
}

void fault_heal(struct fault *fault, const struct address *address)
{
    size_t kept = 0;
    for (size_t i = 0; i < fault->cut_count; i++) {
        if (!address_equal(&fault->cuts[i], address))
            fault->cuts[kept++] = fault->cuts[i];
    }
    fault->cut_count = kept;
}

void fault_heal_all(struct fault *fault)
{
    fault->cut_count = 0;
}

bool fault_is_cut(const struct fault *fault, const struct address *address)
{
    for (size_t i = 0; fault && i < fault->cut_count; i++) {
        if (matches(&fault->cuts[i], address))
            return true;
    }
    return false;
}

bool fault_drops(struct fault *fault, const struct address *address)
{
    if (!fault)
        return false;
    return fault_is_cut(fault, address) ||
           random_chance(&fault->random, fault->drop_per_mille, FAULT_WHOLE);
}
