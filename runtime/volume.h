/* Volumes: folders that outlive the containers that mount them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    VOLUME_NAME_MAX = 200, /* of an anonymous one: a file's name has room for a little more */
};

struct volume_use {
    const char *volumes_dir; /* where all of this machine's are */
    const char *name;
    const char
        *container_dir; /* where one is made before it gets its name; goes with the container */
    const char *rootfs; /* of the image that covers it with … */
    const char *target; /* … this path */
    bool is_empty;      /* take nothing over but owner and mode */
    uint32_t first_id;  /* of the user namespace whose ids own what is in the image; 0: none */
};

/* Makes the volume unless it is there. As Docker's, a new one has what the image has at the path
 * that it covers: folders, files, links, with modes, and owners as the container sees them. Killed
 * on the way, there is none yet. Safe against others that make it at the same time. Blocks. */
int volume_make(const struct volume_use *use);
