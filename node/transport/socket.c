#include "node/transport/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include "node/bounds.h"

int socket_local_address(const uv_tcp_t *tcp, struct address *ret)
{
    struct sockaddr_storage storage;
    int size = sizeof(storage);
    int rc = uv_tcp_getsockname(tcp, (struct sockaddr *)&storage, &size);
    return rc < 0 ? rc : socket_address_to((const struct sockaddr *)&storage, ret);
}

int socket_remote_address(const uv_tcp_t *tcp, struct address *ret)
{
    struct sockaddr_storage storage;
    int size = sizeof(storage);
    int rc = uv_tcp_getpeername(tcp, (struct sockaddr *)&storage, &size);
    return rc < 0 ? rc : socket_address_to((const struct sockaddr *)&storage, ret);
}

void socket_tune_link(uv_tcp_t *tcp)
{
    const int unsent_bytes = LINK_UNSENT_BYTES;
    uv_os_fd_t fd;
    uv_tcp_nodelay(tcp, 1);
    if (uv_fileno((const uv_handle_t *)tcp, &fd) == 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes, sizeof(unsent_bytes));
}

void socket_free(uv_handle_t *handle)
{
    free(handle);
}

void socket_free_owner(uv_handle_t *handle)
{
    free(handle->data);
}
