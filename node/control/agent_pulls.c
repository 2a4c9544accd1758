#include "node/control/agent_pulls.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "node/control/agent_private.h"

enum {
    HASH_BYTES = SWIM_KEY_BYTES_MAX / 2,
};

/* No image's name begins so. */
static const char intends[] = "?intends", pulls[] = "?pulls";

/* Beside images' digests, of which none can be that of the name. */
static struct bytes pull_key(const char *reference, char text[SWIM_KEY_BYTES_MAX + 1])
{
    uint8_t hash[HASH_BYTES];
    crypto_generichash(hash, sizeof(hash), (const uint8_t *)reference, strlen(reference), NULL, 0);
    sodium_bin2hex(text, SWIM_KEY_BYTES_MAX + 1, hash, sizeof(hash));
    return bytes_of_text(text);
}

int agent_publish_pull(struct agent *agent, int64_t now_ms, const char *reference, bool has_begun)
{
    char text[SWIM_KEY_BYTES_MAX + 1];
    return swim_publish(agent->swim, now_ms, SWIM_TABLE_IMAGE, pull_key(reference, text),
                        bytes_of_text(has_begun ? pulls : intends));
}

int agent_withdraw_pull(struct agent *agent, int64_t now_ms, const char *reference)
{
    char text[SWIM_KEY_BYTES_MAX + 1];
    return swim_withdraw(agent->swim, now_ms, SWIM_TABLE_IMAGE, pull_key(reference, text));
}

bool agent_pull_is_others(const struct agent *agent, const char *reference)
{
    char text[SWIM_KEY_BYTES_MAX + 1];
    struct bytes key = pull_key(reference, text);
    for (size_t i = 0; i < swim_member_count(agent->swim); i++) {
        const struct swim_member member = swim_member_at(agent->swim, i);
        struct swim_record record;
        if (member.state != SWIM_ALIVE || id_equal(&member.id, &agent->self) ||
            swim_record_find(agent->swim, &member.id, SWIM_TABLE_IMAGE, key, &record) < 0)
            continue;
        if (bytes_equal(record.value, bytes_of_text(pulls)) ||
            id_compare(&member.id, &agent->self) < 0)
            return true;
    }
    return false;
}
