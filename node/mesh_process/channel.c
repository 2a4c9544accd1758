#include "node/mesh_process/channel.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    CHANNEL_FLUSH_MS = 2000,
    PACKETS_AT_ONCE = 64, /* before the loop has its turn */
    MORE = 1,             /* the first byte of a packet that is not a message's last */
};

struct packet {
    struct packet *next;
    int fd;
    size_t size;
    uint8_t bytes[];
};

struct channel {
    uv_poll_t poll;
    const struct channel_handler *handler;
    void *context;
    int fd;
    struct packet *first, **last;
    size_t queued_bytes;
    struct buffer message; /* the packets of one that is not complete */
    bool is_closing, is_blocked;
};

static void on_event(uv_poll_t *poll, int status, int events);

static void watch(struct channel *channel)
{
    int events = UV_READABLE | (channel->is_blocked ? UV_WRITABLE : 0);
    if (!channel->is_closing)
        uv_poll_start(&channel->poll, events, on_event);
}

static void free_packet(struct packet *packet)
{
    if (packet->fd >= 0)
        close(packet->fd);
    sodium_memzero(packet->bytes, packet->size); /* there may be keys in it */
    free(packet);
}

/* --- Sending --- */

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static int send_packet(int socket, const struct packet *packet)
{
    union control control = {0};
    struct iovec vector = {(void *)(uintptr_t)packet->bytes, packet->size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (packet->fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *item = CMSG_FIRSTHDR(&message);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(item), &packet->fd, sizeof(int));
    }
    ssize_t sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : 0;
}

/* Sends what the kernel takes. -EAGAIN: it takes no more now. An error is heard by reading. */
static int send_queued(struct channel *channel)
{
    while (channel->first) {
        struct packet *packet = channel->first;
        int rc = send_packet(channel->fd, packet);
        if (rc == -EAGAIN || rc == -ENOBUFS)
            return -EAGAIN;
        channel->first = packet->next;
        if (!channel->first)
            channel->last = &channel->first;
        channel->queued_bytes -= packet->size;
        free_packet(packet);
    }
    return 0;
}

static void pump(struct channel *channel)
{
    bool is_blocked = send_queued(channel) < 0;
    if (is_blocked == channel->is_blocked)
        return;
    channel->is_blocked = is_blocked;
    watch(channel);
}

static int queue_packet(struct channel *channel, bool has_more, const uint8_t *kind,
                        struct bytes part, int fd)
{
    size_t head = kind ? 2 : 1;
    struct packet *packet = malloc(sizeof(*packet) + head + part.size);
    if (!packet) {
        if (fd >= 0)
            close(fd);
        return -ENOMEM;
    }
    *packet = (struct packet){.fd = fd, .size = head + part.size};
    packet->bytes[0] = has_more ? MORE : 0;
    if (kind)
        packet->bytes[1] = *kind;
    if (part.size > 0)
        memcpy(packet->bytes + head, part.data, part.size);
    *channel->last = packet;
    channel->last = &packet->next;
    channel->queued_bytes += packet->size;
    return 0;
}

int channel_send(struct channel *channel, uint8_t kind, struct bytes body, int fd)
{
    const uint8_t *first_kind = &kind;
    int rc = 0;
    if (body.size >= CHANNEL_MESSAGE_BYTES_MAX ||
        body.size > CHANNEL_QUEUE_BYTES_MAX - channel->queued_bytes) {
        if (fd >= 0)
            close(fd);
        return -ENOBUFS;
    }
    do {
        size_t size =
            body.size < CHANNEL_PACKET_BYTES_MAX - 2 ? body.size : CHANNEL_PACKET_BYTES_MAX - 2;
        bool has_more = size < body.size;
        rc = queue_packet(channel, has_more, first_kind, (struct bytes){body.data, size},
                          has_more ? -1 : fd);
        first_kind = NULL;
        body.data += size;
        body.size -= size;
        if (rc == 0 && !has_more)
            break;
    } while (rc == 0);
    pump(channel);
    return rc;
}

void channel_flush(struct channel *channel)
{
    int64_t until_ms = clock_boot_ms() + CHANNEL_FLUSH_MS;
    struct pollfd wait = {.fd = channel->fd, .events = POLLOUT};
    while (send_queued(channel) == -EAGAIN && clock_boot_ms() < until_ms)
        poll(&wait, 1, CHANNEL_FLUSH_MS);
}

/* --- Receiving --- */

static void end(struct channel *channel)
{
    uv_poll_stop(&channel->poll);
    channel->handler->on_end(channel->context, channel);
}

static int take_fd(struct msghdr *message)
{
    struct cmsghdr *item = CMSG_FIRSTHDR(message);
    int fd = -1;
    if (item && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS &&
        item->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(item), sizeof(int));
    return fd;
}

static int take_packet(struct channel *channel, const uint8_t *bytes, size_t size, int fd)
{
    struct buffer *whole = &channel->message;
    int rc = size < 1 || bytes[0] > MORE || (bytes[0] == MORE && fd >= 0) ? -EBADMSG : 0;
    if (rc == 0 && size - 1 > CHANNEL_MESSAGE_BYTES_MAX - whole->size)
        rc = -EMSGSIZE;
    if (rc == 0)
        rc = buffer_append(whole, bytes + 1, size - 1);
    if (rc == 0 && bytes[0] == 0 && whole->size == 0)
        rc = -EBADMSG;
    if (rc < 0 && fd >= 0)
        close(fd);
    if (rc < 0 || bytes[0] == MORE)
        return rc;
    struct buffer message = *whole; /* the callee may close the channel */
    *whole = (struct buffer){0};
    channel->handler->on_message(channel->context, channel, message.bytes[0],
                                 (struct bytes){message.bytes + 1, message.size - 1}, fd);
    sodium_memzero(message.bytes, message.size);
    buffer_done(&message);
    return 0;
}

/* Reads one packet; false when there is none, or the channel is over. */
static bool receive(struct channel *channel)
{
    uint8_t bytes[CHANNEL_PACKET_BYTES_MAX];
    union control control;
    struct iovec vector = {bytes, sizeof(bytes)};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t size = recvmsg(channel->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    int fd = size > 0 ? take_fd(&message) : -1;
    /* One descriptor that is cut off is one that this process has no room for: it is lost. */
    bool is_against_rules = (message.msg_flags & MSG_CTRUNC) && fd >= 0;
    bool is_whole = size > 0 && !(message.msg_flags & MSG_TRUNC) && !is_against_rules;
    if (!is_whole && fd >= 0)
        close(fd);
    if (!is_whole || take_packet(channel, bytes, (size_t)size, fd) < 0) {
        end(channel);
        return false;
    }
    return !channel->is_closing;
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct channel *channel = poll->data;
    if (status < 0) {
        end(channel);
        return;
    }
    if (events & UV_WRITABLE)
        pump(channel);
    for (int i = 0; i < PACKETS_AT_ONCE && receive(channel); i++)
        ;
}

/* --- Life --- */

int channel_open(uv_loop_t *loop, int fd, const struct channel_handler *handler, void *context,
                 struct channel **ret)
{
    struct channel *channel = calloc(1, sizeof(*channel));
    int rc = channel ? uv_poll_init(loop, &channel->poll, fd) : -ENOMEM;
    if (rc < 0) {
        free(channel);
        close(fd);
        return rc;
    }
    channel->poll.data = channel;
    channel->handler = handler;
    channel->context = context;
    channel->fd = fd;
    channel->last = &channel->first;
    watch(channel);
    *ret = channel;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct channel *channel = handle->data;
    while (channel->first) {
        struct packet *packet = channel->first;
        channel->first = packet->next;
        free_packet(packet);
    }
    buffer_done(&channel->message);
    free(channel);
}

void channel_close(struct channel *channel)
{
    if (!channel || channel->is_closing)
        return;
    channel->is_closing = true;
    uv_poll_stop(&channel->poll);
    close(channel->fd);
    uv_close((uv_handle_t *)&channel->poll, on_closed);
}
