/* Removing directory trees that hostile containers and archives have filled.
 *
 * tree_remove() never follows a symbolic link, never recurses, and needs no memory for depth: a
 * directory that is not empty is first moved up beside its grandparent's entries, so that a tree of
 * a million levels is as easy as a flat one. It blocks: node calls it on the thread pool.
 */
#pragma once

/* Removes `name`, a single component in the directory `parent_fd`, with all that is below. 0 also
 * when it is not there, or a negative errno (-EBUSY: something is mounted inside). Nobody else may
 * be changing the tree meanwhile. */
int tree_remove(int parent_fd, const char *name);

/* As tree_remove, for a path of the caller's own. */
int tree_remove_path(const char *path);
