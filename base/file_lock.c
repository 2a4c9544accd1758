#include "base/file_lock.h"

#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

enum {
    PAUSE_MS = 10,
};

int file_lock(int fd, int patience_ms)
{
    for (int waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited_ms += PAUSE_MS) {
        if (errno != EWOULDBLOCK || waited_ms >= patience_ms)
            return -errno;
        usleep(PAUSE_MS * 1000);
    }
    return 0;
}
