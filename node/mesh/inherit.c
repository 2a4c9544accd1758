/* Sockets that pass from one mesh to the next. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/mesh/dns.h"
#include "node/mesh/mesh_private.h"

int mesh_inherit(struct mesh *mesh, enum mesh_socket kind, uint16_t port, int fd)
{
    struct inherited *inherited = malloc(sizeof(*inherited));
    if (!inherited) {
        close(fd);
        return -ENOMEM;
    }
    *inherited = (struct inherited){kind, port, fd, mesh->inherited};
    mesh->inherited = inherited;
    return 0;
}

int inherited_take(struct mesh *mesh, enum mesh_socket kind, uint16_t port)
{
    struct inherited **link = &mesh->inherited;
    while (*link && ((*link)->kind != kind || (*link)->port != port))
        link = &(*link)->next;
    struct inherited *inherited = *link;
    if (!inherited)
        return -1;
    int fd = inherited->fd;
    *link = inherited->next;
    free(inherited);
    return fd;
}

void inherited_close(struct mesh *mesh)
{
    while (mesh->inherited)
        close(inherited_take(mesh, mesh->inherited->kind, mesh->inherited->port));
}

int inherited_copy(uv_handle_t *handle)
{
    uv_os_fd_t fd;
    return uv_fileno(handle, &fd) < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}
