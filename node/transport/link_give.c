/* A link that changes hands: opened by one process, which shows and checks certificates, and then
 * used by another, which gets the socket and the keys of this one link and nothing else. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include "node/transport/link_private.h"
#include "node/transport/socket.h"

void link_look_whether_given(struct link *link)
{
    if (link->state != LINK_OPEN || !link->is_for_mesh || !link->handler || link->is_writing ||
        link->pending.size > 0)
        return;
    if (link->handler->on_for_mesh)
        link->handler->on_for_mesh(link->context, link);
    else
        link_close(link, -ENOPROTOOPT);
}

int link_give_away(struct link *link, struct link_given *ret, int *ret_fd)
{
    uv_os_fd_t own;
    assert(link->state == LINK_OPEN && link->is_for_mesh);
    uv_read_stop((uv_stream_t *)&link->tcp);
    int fd = uv_fileno((uv_handle_t *)&link->tcp, &own) < 0 ? -1 : fcntl(own, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    *ret = (struct link_given){.id = link->remote.id,
                               .address = link->remote.address,
                               .is_dialer = link->is_dialed,
                               .send = link->send,
                               .receive = link->receive,
                               .input = link->input};
    link->input = (struct buffer){0};
    *ret_fd = fd;
    link_close_handles(link);
    return 0;
}

void link_given_done(struct link_given *state)
{
    link_cipher_done(&state->send);
    link_cipher_done(&state->receive);
    buffer_done(&state->input);
}

int link_take_over(struct link *link, int fd, const struct link_given *state)
{
    assert(link->state == LINK_CONNECTING && link->is_dialed == state->is_dialer);
    int rc = buffer_append(&link->input, state->input.bytes, state->input.size);
    if (rc == 0)
        rc = uv_tcp_open(&link->tcp, fd);
    if (rc < 0) {
        buffer_clear(&link->input);
        close(fd);
        return rc;
    }
    socket_tune_link(&link->tcp);
    link->send = state->send;
    link->receive = state->receive;
    link->remote.address = state->address;
    link->state = LINK_OPEN;
    link_wake(link); /* streams may have been opened already */
    if (link->handler && link->handler->on_open)
        link->handler->on_open(link->context, link);
    rc = link->state == LINK_OPEN ? link_read(link) : 0;
    if (rc < 0)
        link_fail_with(link, rc, "receiving failed");
    link_look_for_cut(link);
    if (!link->is_cut)
        link_process(link);
    return 0;
}

bool link_is_for_mesh(const struct link *link)
{
    return link->is_for_mesh;
}
