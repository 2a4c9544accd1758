/* Between `struct address` and the system's socket addresses. */
#pragma once

#include <sys/socket.h>

#include "base/address.h"

void socket_address_from(const struct address *address, struct sockaddr_storage *ret);

/* -EAFNOSUPPORT for anything but IPv4 and IPv6; `*ret` is untouched then. */
int socket_address_to(const struct sockaddr *socket_address, struct address *ret);
