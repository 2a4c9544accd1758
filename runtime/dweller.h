/* A child process that does nothing but be in new namespaces, until these are pinned by mounts. A
 * thread of the daemon can't be in a user namespace: all of a process's threads are, or none.
 * Should the daemon end first, so does the child.
 */
#pragma once

#include <sys/types.h>

struct dweller {
    pid_t pid;
    int fd; /* it ends when this is closed */
};

/* Starts one that enters the user namespace `userns_fd` (-1: stays in ours), and then new ones:
 * CLONE_NEWUSER, CLONE_NEWNET. */
int dweller_start(int userns_fd, int flags, struct dweller *ret);

/* Pins its namespace of that name in /proc ("user", "net") at `path`, a file that is made. */
int dweller_pin(const struct dweller *dweller, const char *name, const char *path);

/* Ends it, and waits until it has. */
void dweller_end(struct dweller *dweller);
