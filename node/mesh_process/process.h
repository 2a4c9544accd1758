/* The mesh process (`consort mesh-process`): it has the listeners, names and connections of
 * node/mesh/, and goes on when the daemon that started it stops, dies or is replaced.
 *
 *     daemon                                        mesh process
 *     knows intent, gossip, containers   STATE →    who serves what, who is here
 *     has the key; opens links           LINK →     has the keys of these links alone
 *                                        ← WANT     lacks a link
 *
 * It serves what it knew last, while no daemon is there. It ends when it is told to, or when
 * nothing is left that it could be for: no daemon, no container here, and no connection. One that
 * was retired, for another of a newer build, ends with its last connection.
 */
#pragma once

#include "base/id.h"

/* Runs as the mesh process of that peer. Daemons connect to `listen_fd`. Returns the exit code. */
int mesh_process_run(int listen_fd, const struct id *self);
