#include "gossip/session_replay.h"

#include <assert.h>

_Static_assert(SESSION_REPLAY_WINDOW_BITS % 64 == 0, "the window is made of whole words");

static uint64_t word_of(uint64_t counter)
{
    return counter / 64;
}

bool session_replay_is_new(const struct session_replay *replay, uint64_t counter)
{
    if (counter >= replay->next)
        return true;
    if (replay->next - counter > SESSION_REPLAY_WINDOW_BITS)
        return false;
    uint64_t bit = UINT64_C(1) << (counter % 64);
    return (replay->seen[word_of(counter) % SESSION_REPLAY_WORDS] & bit) == 0;
}

void session_replay_mark(struct session_replay *replay, uint64_t counter)
{
    assert(counter < UINT64_MAX);
    assert(session_replay_is_new(replay, counter));
    if (counter >= replay->next) {
        uint64_t newest = replay->next > 0 ? word_of(replay->next - 1) : 0;
        uint64_t advance = word_of(counter) - newest;
        if (advance > SESSION_REPLAY_WORDS)
            advance = SESSION_REPLAY_WORDS;
        for (uint64_t i = 0; i < advance; i++)
            replay->seen[(word_of(counter) - i) % SESSION_REPLAY_WORDS] = 0;
        replay->next = counter + 1;
    }
    replay->seen[word_of(counter) % SESSION_REPLAY_WORDS] |= UINT64_C(1) << (counter % 64);
}
