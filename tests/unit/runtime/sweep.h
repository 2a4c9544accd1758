/* What the sweep (container_sweep.c) does and checks: the operations of a container's life
 * (sweep_containers.c) and an image's (sweep_images.c). */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "container_fixture.h"

/* What the killed daemon lets its successor's test know. */
struct notes {
    pid_t pid;         /* of the container that ran before the operation */
    bool stays;        /* that process must never end */
    bool said_stopped; /* it was told that the container has ended, which must last */
    bool said_removed;
    bool was_stopped; /* before the operation, which is not to start it even for a moment */
    bool finished;
};

extern struct notes *notes;

/* Says what is wrong, and ends the process that looks. */
void give_up(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            give_up(__VA_ARGS__);                                                                  \
    } while (0)

struct operation {
    const char *name;
    void (*before)(struct fixture *fixture); /* not counted; NULL: nothing */
    void (*act)(struct fixture *fixture);
    void (*again)(struct fixture *fixture); /* what a peer would ask again of a new daemon */
    bool runs;                              /* whether the container is to run in the end */
    bool closed;                            /* the daemon does not run before `act` */
    bool image;                             /* about an image, and no runtime */
    bool known;                             /* `again` also if nothing is known of the container */
    void (*check)(struct fixture *fixture);
};

extern const struct operation operations[];
extern const size_t operation_count;

extern bool in_userns; /* what is made has a user namespace */

/* After a kill: opens the daemon anew, and checks that what is wanted is there, once, and that
 * nothing is left when it is removed. */
void restart_and_check(struct fixture *fixture, const struct operation *operation);

/* An archive of an image, and a web server that stands for a registry which has it. */
void sweep_images_begin(struct fixture *fixture);
void sweep_images_end(void);

void import_image(struct fixture *fixture);
void import_again(struct fixture *fixture);
void remove_image(struct fixture *fixture);

/* What a daemon does for a pull: its child writes blobs, and what they make is named by itself. */
void pull_image(struct fixture *fixture);
void pull_again(struct fixture *fixture);

/* The child alone: the daemon lives, and hears of its end. */
void make_store(struct fixture *fixture);
void pull_as_child(struct fixture *fixture);
void sweep_child_and_pull_again(struct fixture *fixture);

/* 0 if the store is empty. */
unsigned count_image_files(struct fixture *fixture);
