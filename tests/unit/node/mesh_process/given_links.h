/* Links that two daemons have opened and give away: both ends of one, without the daemons. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "node/transport/link.h"

struct given_ends {
    struct link_given states[2]; /* of the dialer, and of whom it dialed */
    int fds[2];
};

static inline struct given_ends given_ends_make(const struct id *dialer, const struct id *acceptor)
{
    struct given_ends ends = {0};
    struct noise_cipher forth, back;
    memset(&forth, 1, sizeof(forth));
    memset(&back, 2, sizeof(back));
    for (int i = 0; i < 2; i++) {
        struct link_given *state = &ends.states[i];
        state->is_dialer = i == 0;
        state->id = i == 0 ? *acceptor : *dialer;
        link_cipher_init(&state->send, i == 0 ? &forth : &back);
        link_cipher_init(&state->receive, i == 0 ? &back : &forth);
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.fds),
                     0);
    return ends;
}
