#include "node/mesh_process/launch.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

enum {
    BACKLOG = 8,
    NAME_RANDOM_BYTES = 4,
};

static const char prefix[] = "mesh-", suffix[] = ".sock";

bool mesh_socket_is(const char *name)
{
    size_t size = strlen(name), suffix_size = sizeof(suffix) - 1;
    return strncmp(name, prefix, sizeof(prefix) - 1) == 0 && size > suffix_size &&
           strcmp(name + size - suffix_size, suffix) == 0;
}

int mesh_socket_path(const char *run_dir, const char *name, char ret[MESH_SOCKET_PATH_BYTES])
{
    int size = snprintf(ret, MESH_SOCKET_PATH_BYTES, "%s/%s", run_dir, name);
    return size >= MESH_SOCKET_PATH_BYTES ? -ENAMETOOLONG : 0;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strnlen(path, sizeof(address.sun_path) - 1));
    return address;
}

int mesh_connect(const char *path, int *ret_fd)
{
    const struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

/* Nobody can connect before its mode is set: it does not listen yet. */
static int listen_at(const char *path, int *ret_fd)
{
    const struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(path, S_IRUSR | S_IWUSR) < 0 || listen(fd, BACKLOG) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_exit_(uv_process_t *child, int64_t status, int signal)
{
    if (status != 0 || signal != 0)
        log_warning("mesh process %d ended: status %d, signal %d", child->pid, (int)status, signal);
    uv_close((uv_handle_t *)child, on_closed);
}

static int spawn(const struct mesh_launch *launch, const char *path, int fd)
{
    char id[ID_TEXT_BYTES];
    id_format(launch->self, id);
    char *words[] = {(char *)"consort", (char *)"mesh-process", (char *)(uintptr_t)path, id, NULL};
    uv_stdio_container_t files[MESH_PROCESS_FD + 1] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDOUT_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = fd},
    };
    const uv_process_options_t options = {.file = launch->program,
                                          .args = words,
                                          .stdio = files,
                                          .stdio_count = MESH_PROCESS_FD + 1,
                                          .flags = UV_PROCESS_DETACHED,
                                          .exit_cb = on_exit_};
    uv_process_t *child = calloc(1, sizeof(*child));
    if (!child)
        return -ENOMEM;
    int rc = uv_spawn(launch->loop, child, &options);
    if (rc < 0)
        uv_close((uv_handle_t *)child, on_closed);
    return rc;
}

int mesh_launch(const struct mesh_launch *launch, char ret_path[MESH_SOCKET_PATH_BYTES])
{
    uint8_t random[NAME_RANDOM_BYTES];
    char hex[2 * NAME_RANDOM_BYTES + 1], name[sizeof(prefix) + sizeof(hex) + sizeof(suffix)];
    int fd = -1;
    randombytes_buf(random, sizeof(random));
    hex_encode(random, sizeof(random), hex);
    snprintf(name, sizeof(name), "%s%s%s", prefix, hex, suffix);
    int rc = mesh_socket_path(launch->run_dir, name, ret_path);
    if (rc == 0)
        rc = listen_at(ret_path, &fd);
    if (rc < 0)
        return rc;
    rc = spawn(launch, ret_path, fd);
    close(fd);
    if (rc < 0)
        unlink(ret_path);
    return rc;
}
