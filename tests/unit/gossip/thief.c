#include "tests/unit/gossip/thief.h"

#include <assert.h>

enum { FACTS_PER_PACKET = 7 };

struct fact *thief_sign(struct fake_network *net, size_t thief, const struct fact_view *view)
{
    struct fact *fact;
    int rc = fact_sign(net->pool, &net->peers[thief].identity, view, &fact);
    assert(rc == 0);
    return fact;
}

struct fact *thief_accusation(struct fake_network *net, size_t thief, size_t accused, size_t teller,
                              int64_t ahead)
{
    struct swim_member member;
    bool known = swim_member_find(net->peers[teller].swim, fake_id(net, accused), &member);
    assert(known);
    struct fact_view view = {
        .kind = FACT_ACCUSATION,
        .version = member.incarnation + (uint64_t)ahead,
        .accusation.accused = member.id,
    };
    return thief_sign(net, thief, &view);
}

struct fact *thief_record(struct fake_network *net, size_t thief, uint64_t version, uint64_t sum,
                          const char *key, const char *value)
{
    struct fact_view view = {
        .kind = FACT_RECORD,
        .version = version,
        .record = {.key = {SWIM_TABLE_META, bytes_of_text(key)},
                   .value = bytes_of_text(value),
                   .floor = (version >> 32 << 32) + 1,
                   .sum = sum},
    };
    return thief_sign(net, thief, &view);
}

static void write_words(struct fake_network *net, const struct thief_words *words,
                        struct buffer *ret)
{
    struct packet_draft draft;
    packet_draft_init(&draft, words->kind, words->sequence, words->subject,
                      net->config.packet_bytes_max);
    for (size_t i = 0; i < words->digest_count; i++) {
        bool fits = packet_draft_add_digest(&draft, &words->digests[i]);
        assert(fits);
    }
    for (size_t i = 0; i < words->fact_count; i++) {
        bool fits = packet_draft_add(&draft, words->facts[i]);
        assert(fits);
    }
    int rc = packet_write(&draft, ret);
    assert(rc == 0);
}

static void release(struct fake_network *net, struct thief_words *words)
{
    for (size_t i = 0; i < words->fact_count; i++)
        fact_release(net->pool, words->facts[i]);
    words->fact_count = 0;
}

int thief_say(struct fake_network *net, size_t thief, size_t to, struct thief_words *words)
{
    cleanup_buffer struct buffer bytes = {0};
    write_words(net, words, &bytes);
    release(net, words);
    return fake_inject(net, to, thief, SWIM_PACKET, buffer_view(&bytes));
}

void thief_say_to_all(struct fake_network *net, size_t thief, struct thief_words *words)
{
    cleanup_buffer struct buffer bytes = {0};
    write_words(net, words, &bytes);
    release(net, words);
    for (size_t to = 0; to < net->count; to++)
        if (to != thief && net->peers[to].swim)
            fake_inject(net, to, thief, SWIM_PACKET, buffer_view(&bytes));
}

void thief_accuses_all(struct fake_network *net, size_t thief)
{
    for (size_t accused = 0; accused < net->count;) {
        struct thief_words words = {.kind = PACKET_GOSSIP};
        for (; accused < net->count && words.fact_count < FACTS_PER_PACKET; accused++)
            if (accused != thief && net->peers[accused].swim)
                words.facts[words.fact_count++] = thief_accusation(net, thief, accused, accused, 0);
        thief_say_to_all(net, thief, &words);
    }
}
