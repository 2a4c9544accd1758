#include "base/socket_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

enum {
    V4_OFFSET = 12, /* in an IPv4-mapped address */
    V4_BYTES = 4,
};

void socket_address_from(const struct address *address, struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (address_is_v4(address)) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(address->port)};
        memcpy(&v4.sin_addr, address->ip + V4_OFFSET, V4_BYTES);
        memcpy(ret, &v4, sizeof(v4));
        return;
    }
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
    memcpy(&v6.sin6_addr, address->ip, sizeof(address->ip));
    memcpy(ret, &v6, sizeof(v6));
}

int socket_address_to(const struct sockaddr *socket_address, struct address *ret)
{
    if (socket_address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, socket_address, sizeof(v4));
        *ret = address_from_v4(ntohl(v4.sin_addr.s_addr), ntohs(v4.sin_port));
        return 0;
    }
    if (socket_address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, socket_address, sizeof(v6));
        memcpy(ret->ip, &v6.sin6_addr, sizeof(ret->ip));
        ret->port = ntohs(v6.sin6_port);
        return 0;
    }
    return -EAFNOSUPPORT;
}
