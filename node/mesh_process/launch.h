/* Where mesh processes are found, and how one is started. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/id.h"

enum {
    MESH_SOCKET_PATH_BYTES = 108, /* of sockaddr_un */
    MESH_PROCESS_FD = 3,          /* where it is given its listening socket */
};

struct mesh_launch {
    uv_loop_t *loop;
    const char *program;
    const char *run_dir;
    const struct id *self;
};

/* Starts a process that listens at a new path already. It is nobody's child soon: what is started
 * forks and ends, and the loop waits for that. 0 or a negative errno. */
int mesh_launch(const struct mesh_launch *launch, char ret_path[MESH_SOCKET_PATH_BYTES]);

/* Whether a file of the run directory is such a process's socket; and its path: -ENAMETOOLONG. */
bool mesh_socket_is(const char *name);
int mesh_socket_path(const char *run_dir, const char *name, char ret[MESH_SOCKET_PATH_BYTES]);

/* -ECONNREFUSED: the process has ended. */
int mesh_connect(const char *path, int *ret_fd);
