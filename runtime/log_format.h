/* The lines of a container's log as conmon writes them (Kubernetes' format):
 *
 *     2026-11-25T04:35:23.221632042+00:00 stdout F hello
 *
 * "F" ends a line of the container's; "P" means that it goes on in the stream's next entry. The
 * text is the container's and may hold anything but a newline.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

struct log_entry {
    int64_t wall_ns;
    bool is_error; /* standard error, else standard output */
    bool partial;
    struct bytes text; /* borrowed from the line */
};

/* Parses one entry without its newline; -EBADMSG. */
int log_entry_parse(struct bytes line, struct log_entry *ret);

/* Finds where the last `lines` entries of an open log begin. Blocks. `*ret_offset` is 0 if there
 * are not so many. */
int log_find_tail(int fd, int64_t lines, int64_t *ret_offset);

/* Joins the last few lines that were written since `since_wall_ms` into one text for people, with
 * " | " between. Returns its length; 0 if there are none, or a negative errno. Blocks. */
int log_tail_text(const char *path, int lines, int64_t since_wall_ms, char *ret, size_t capacity);
