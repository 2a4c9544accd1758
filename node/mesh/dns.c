/* The socket side of DNS: questions from containers, and those passed on to the machine's own
 * resolvers, each from a socket of its own so that its port is hard to guess. */
#include "node/mesh/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/mesh/mesh_private.h"
#include "node/mesh/resolver.h"
#include "node/transport/socket.h"

enum {
    DNS_PORT = 53,
};

struct dns {
    struct mesh *mesh;
    uv_udp_t udp;
    struct forward *forwards;
    size_t forward_count;
    uint8_t packet[DNS_PACKET_BYTES_MAX];
};

/* A question that was passed on. */
struct forward {
    uv_udp_t udp;
    uv_timer_t timer;
    unsigned open_handles;
    struct dns *dns; /* NULL once dns was closed */
    struct forward *next;
    struct sockaddr_in asker;
    struct buffer question;
    uint8_t packet[DNS_PACKET_BYTES_MAX];
};

static void on_alloc_question(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct dns *dns = handle->data;
    (void)suggested;
    *ret = uv_buf_init((char *)dns->packet, sizeof(dns->packet));
}

static void send_answer(struct dns *dns, const struct sockaddr_in *to, const struct buffer *answer)
{
    uv_buf_t bytes = uv_buf_init((char *)answer->bytes, (unsigned)answer->size);
    if (answer->size > 0)
        uv_udp_try_send(&dns->udp, &bytes, 1, (const struct sockaddr *)to);
}

static void on_forward_closed(uv_handle_t *handle)
{
    struct forward *forward = handle->data;
    if (--forward->open_handles > 0)
        return;
    buffer_done(&forward->question);
    free(forward);
}

static void end_forward(struct forward *forward)
{
    struct dns *dns = forward->dns;
    struct forward **link = dns ? &dns->forwards : NULL;
    while (link && *link && *link != forward)
        link = &(*link)->next;
    if (link && *link) {
        *link = forward->next;
        dns->forward_count--;
    }
    forward->dns = NULL;
    uv_close((uv_handle_t *)&forward->udp, on_forward_closed);
    uv_close((uv_handle_t *)&forward->timer, on_forward_closed);
}

static void on_forward_timeout(uv_timer_t *timer)
{
    struct forward *forward = timer->data;
    cleanup_buffer struct buffer answer = {0};
    dns_fail(buffer_view(&forward->question), &answer);
    send_answer(forward->dns, &forward->asker, &answer);
    end_forward(forward);
}

static void on_alloc_answer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct forward *forward = handle->data;
    (void)suggested;
    *ret = uv_buf_init((char *)forward->packet, sizeof(forward->packet));
}

/* The socket is connected to the resolver, so only its packets come; the id must be the question's.
 */
static void on_forward_answer(uv_udp_t *udp, ssize_t size, const uv_buf_t *buffer,
                              const struct sockaddr *from, unsigned flags)
{
    struct forward *forward = udp->data;
    (void)from;
    (void)flags;
    if (size < 2 || memcmp(buffer->base, forward->question.bytes, 2) != 0)
        return;
    struct buffer answer = {.bytes = (uint8_t *)buffer->base, .size = (size_t)size};
    send_answer(forward->dns, &forward->asker, &answer);
    end_forward(forward);
}

/* Its service's own server, or else the machine's. That is read anew for each question: it may
 * change, and the file is small and cached. */
static int find_server(const struct route *asker, struct sockaddr_storage *ret)
{
    struct address server;
    int rc = 0;
    if (asker && asker->server.s_addr != 0)
        server = address_from_v4(ntohl(asker->server.s_addr), 0);
    else
        rc = resolver_find("/etc/resolv.conf", &server);
    server.port = DNS_PORT;
    if (rc == 0)
        socket_address_from(&server, ret);
    return rc;
}

static int pass_on(struct dns *dns, const struct route *asker_route,
                   const struct sockaddr_in *asker, struct bytes question)
{
    struct sockaddr_storage resolver;
    if (dns->forward_count >= DNS_FORWARDS_MAX || find_server(asker_route, &resolver) < 0)
        return -EAGAIN;
    struct forward *forward = calloc(1, sizeof(*forward));
    if (!forward || buffer_append(&forward->question, question.data, question.size) < 0) {
        free(forward);
        return -ENOMEM;
    }
    uv_udp_init(dns->mesh->config.loop, &forward->udp);
    uv_timer_init(dns->mesh->config.loop, &forward->timer);
    forward->open_handles = 2;
    forward->udp.data = forward->timer.data = forward;
    forward->dns = dns;
    forward->asker = *asker;
    forward->next = dns->forwards;
    dns->forwards = forward;
    dns->forward_count++;
    uv_buf_t bytes = uv_buf_init((char *)forward->question.bytes, (unsigned)question.size);
    if (uv_udp_connect(&forward->udp, (const struct sockaddr *)&resolver) < 0 ||
        uv_udp_recv_start(&forward->udp, on_alloc_answer, on_forward_answer) < 0 ||
        uv_udp_try_send(&forward->udp, &bytes, 1, NULL) < 0) {
        end_forward(forward);
        return -ENETUNREACH;
    }
    uv_timer_start(&forward->timer, on_forward_timeout, DNS_FORWARD_MS, 0);
    return 0;
}

static void on_question(uv_udp_t *udp, ssize_t size, const uv_buf_t *buffer,
                        const struct sockaddr *from, unsigned flags)
{
    struct dns *dns = udp->data;
    cleanup_buffer struct buffer answer = {0};
    const struct route *asker_route;
    if (size <= 0 || !from || from->sa_family != AF_INET || (flags & UV_UDP_PARTIAL))
        return;
    struct sockaddr_in asker = *(const struct sockaddr_in *)(const void *)from;
    struct bytes question = {(const uint8_t *)buffer->base, (size_t)size};
    struct address ip = address_from_v4(ntohl(asker.sin_addr.s_addr), ntohs(asker.sin_port));
    bool is_known = mesh_asker_find(dns->mesh, &ip, &asker_route);
    bool is_foreign =
        is_known && dns_answer(&dns->mesh->routes, asker_route, MESH_VIRTUAL_BASE,
                               dns->mesh->redirect6 != NULL, question, &answer) == DNS_FOREIGN;
    if (!is_known || (is_foreign && pass_on(dns, asker_route, &asker, question) < 0))
        dns_fail(question, &answer);
    send_answer(dns, &asker, &answer);
}

static void on_dns_closed(uv_handle_t *handle)
{
    struct dns *dns = handle->data;
    mesh_release(dns->mesh);
    free(dns);
}

int dns_open(struct mesh *mesh, const struct address *gateway, struct dns **ret)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(DNS_PORT)};
    struct dns *dns = calloc(1, sizeof(*dns));
    if (!dns)
        return -ENOMEM;
    memcpy(&at.sin_addr, gateway->ip + 12, sizeof(at.sin_addr));
    dns->mesh = mesh;
    int rc = uv_udp_init(mesh->config.loop, &dns->udp);
    if (rc < 0) {
        free(dns);
        return rc;
    }
    dns->udp.data = dns;
    mesh_hold(mesh);
    /* A service may publish port 53 on all addresses: see datagram_socket.c. */
    int fd = inherited_take(mesh, MESH_SOCKET_DNS, 0);
    rc = fd >= 0 ? uv_udp_open(&dns->udp, fd)
                 : uv_udp_bind(&dns->udp, (const struct sockaddr *)&at, UV_UDP_REUSEADDR);
    if (rc == 0)
        rc = uv_udp_recv_start(&dns->udp, on_alloc_question, on_question);
    if (rc < 0) {
        uv_close((uv_handle_t *)&dns->udp, on_dns_closed);
        return rc;
    }
    *ret = dns;
    return 0;
}

uv_udp_t *dns_handle(struct dns *dns)
{
    return &dns->udp;
}

void dns_close(struct dns *dns)
{
    if (!dns)
        return;
    while (dns->forwards)
        end_forward(dns->forwards);
    uv_close((uv_handle_t *)&dns->udp, on_dns_closed);
}
