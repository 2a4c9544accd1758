#include "node/mesh/datagram_socket.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/transport/socket.h"

enum {
    DATAGRAMS_AT_ONCE = 64, /* before the loop has its turn */
    DATAGRAMS_DRAINED = 4096,
    CONTROL_BYTES = 64, /* one in6_pktinfo or in_pktinfo with its head */
};

struct datagram_socket {
    uv_poll_t poll;
    struct datagram_config config;
    int fd;
    bool is_v6, is_closing;
    uint8_t bytes[DATAGRAM_BYTES_MAX];
};

static int set(int fd, int level, int option)
{
    const int on = 1;
    return setsockopt(fd, level, option, &on, sizeof(on)) < 0 ? -errno : 0;
}

static socklen_t fill(const struct address *address, struct sockaddr_storage *ret)
{
    socket_address_from(address, ret);
    return ret->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static int bind_to(int fd, const struct address *at)
{
    struct sockaddr_storage address;
    socklen_t size = fill(at, &address);
    return bind(fd, (const struct sockaddr *)&address, size) < 0 ? -errno : 0;
}

/* A service's virtual address, the gateway's DNS and a published port may have the same number, so
 * each of our sockets leaves the port to the others: the one with the nearest address gets what
 * comes. */
static int open_socket(const struct address *at, int family, int *ret_fd)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int result = set(fd, SOL_SOCKET, SO_REUSEADDR);
    if (result == 0)
        result = family == AF_INET6 ? set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO)
                                    : set(fd, IPPROTO_IP, IP_PKTINFO);
    if (result == 0 && family == AF_INET6) /* a virtual address is ours by a route, which counts */
        result = set(fd, IPPROTO_IPV6, IPV6_FREEBIND); /* for IPv4's bind() only */
    if (result == 0)
        result = bind_to(fd, at);
    if (result < 0)
        close(fd);
    else
        *ret_fd = fd;
    return result;
}

int datagram_socket_connected(const struct address *at, const struct address *to, int *ret_fd)
{
    struct sockaddr_storage address;
    int fd;
    int rc = open_socket(at, address_is_v4(at) ? AF_INET : AF_INET6, &fd);
    if (rc < 0)
        return rc;
    socklen_t size = fill(to, &address);
    if (connect(fd, (const struct sockaddr *)&address, size) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

static int open_anywhere(struct datagram_socket *self)
{
    const struct address *at = &self->config.at;
    const struct address any4 = address_from_v4(INADDR_ANY, at->port);
    self->is_v6 = !address_is_v4(at);
    int result = open_socket(at, self->is_v6 ? AF_INET6 : AF_INET, &self->fd);
    bool has_no_v6 = result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL;
    static const uint8_t any6[16] = {0};
    if (has_no_v6 && memcmp(at->ip, any6, sizeof(any6)) == 0) {
        self->is_v6 = false;
        result = open_socket(&any4, AF_INET, &self->fd);
    }
    return result;
}

/* The address that the datagram was sent to, as the kernel tells it beside the bytes. */
static bool destination(struct msghdr *message, struct address *ret)
{
    for (struct cmsghdr *item = CMSG_FIRSTHDR(message); item; item = CMSG_NXTHDR(message, item)) {
        if (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(item), sizeof(info));
            memcpy(ret->ip, &info.ipi6_addr, sizeof(ret->ip));
            return true;
        }
        if (item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(item), sizeof(info));
            *ret = address_from_v4(ntohl(info.ipi_addr.s_addr), ret->port);
            return true;
        }
    }
    return false;
}

/* Reads one; false when there is none, or the socket was closed meanwhile. */
static bool receive(struct datagram_socket *self)
{
    struct sockaddr_storage sender;
    union {
        char bytes[CONTROL_BYTES];
        struct cmsghdr align;
    } control;
    struct iovec vector = {.iov_base = self->bytes, .iov_len = sizeof(self->bytes)};
    struct msghdr message = {.msg_name = &sender,
                             .msg_namelen = sizeof(sender),
                             .msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    struct address from, to = {.port = self->config.at.port};
    ssize_t size = recvmsg(self->fd, &message, MSG_DONTWAIT);
    if (size < 0)
        return errno != EAGAIN && errno != EBADF; /* an ICMP error of an answer: go on */
    if (!(message.msg_flags & MSG_TRUNC) && destination(&message, &to) &&
        socket_address_to((const struct sockaddr *)&sender, &from) == 0 && from.port != 0)
        self->config.on_datagram(self->config.context, &from, &to,
                                 (struct bytes){self->bytes, (size_t)size});
    return !self->is_closing;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct datagram_socket *self = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < DATAGRAMS_AT_ONCE && receive(self); i++)
        ;
}

void datagram_socket_drain(struct datagram_socket *self)
{
    for (int i = 0; i < DATAGRAMS_DRAINED && receive(self); i++)
        ;
}

int datagram_socket_open(const struct datagram_config *config, struct datagram_socket **ret)
{
    struct datagram_socket *self = malloc(sizeof(*self));
    if (!self)
        return -ENOMEM;
    self->config = *config;
    self->is_closing = false;
    int result = open_anywhere(self);
    if (result < 0) {
        free(self);
        return result;
    }
    result = uv_poll_init(config->loop, &self->poll, self->fd);
    if (result < 0) {
        close(self->fd);
        free(self);
        return result;
    }
    self->poll.data = self;
    uv_poll_start(&self->poll, UV_READABLE, on_readable);
    *ret = self;
    return 0;
}

/* An IPv6 socket takes IPv4 addresses in their mapped form only. */
static socklen_t fill_receiver(const struct datagram_socket *self, const struct address *to,
                               struct sockaddr_storage *ret)
{
    if (!self->is_v6) {
        socket_address_from(to, ret);
        return sizeof(struct sockaddr_in);
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
    *v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(to->port)};
    memcpy(&v6->sin6_addr, to->ip, sizeof(to->ip));
    return sizeof(*v6);
}

static void put_source(const struct datagram_socket *self, const struct address *from,
                       struct msghdr *message)
{
    struct cmsghdr *item = CMSG_FIRSTHDR(message);
    assert(item); /* the caller gave it room */
    if (self->is_v6) {
        struct in6_pktinfo info = {0};
        memcpy(&info.ipi6_addr, from->ip, sizeof(from->ip));
        item->cmsg_level = IPPROTO_IPV6;
        item->cmsg_type = IPV6_PKTINFO;
        item->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(item), &info, sizeof(info));
        message->msg_controllen = CMSG_SPACE(sizeof(info));
    } else {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, from->ip + 12, sizeof(info.ipi_spec_dst));
        item->cmsg_level = IPPROTO_IP;
        item->cmsg_type = IP_PKTINFO;
        item->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(item), &info, sizeof(info));
        message->msg_controllen = CMSG_SPACE(sizeof(info));
    }
}

void datagram_socket_send(struct datagram_socket *self, const struct address *from,
                          const struct address *to, struct bytes data)
{
    struct sockaddr_storage receiver;
    union {
        char bytes[CONTROL_BYTES];
        struct cmsghdr align;
    } control = {0};
    struct iovec vector = {.iov_base = (void *)(uintptr_t)data.data, .iov_len = data.size};
    struct msghdr message = {.msg_name = &receiver,
                             .msg_namelen = fill_receiver(self, to, &receiver),
                             .msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    put_source(self, from, &message);
    ssize_t sent = sendmsg(self->fd, &message, MSG_DONTWAIT);
    (void)sent; /* as lost on its way: UDP's users expect that */
}

static void on_closed(uv_handle_t *handle)
{
    struct datagram_socket *self = handle->data;
    if (self->config.on_closed)
        self->config.on_closed(self->config.context);
    free(self);
}

void datagram_socket_close(struct datagram_socket *self)
{
    self->is_closing = true;
    uv_poll_stop(&self->poll);
    close(self->fd);
    self->fd = -1;
    uv_close((uv_handle_t *)&self->poll, on_closed);
}
