/* Tells the other peers how much room there is where this peer keeps its data: who has little
 * should not vote (node/control/voters.h). Looked at now and then, on a worker, and said when it
 * has changed by much. */
#pragma once

struct disk;
struct peer;

/* NULL when there is no memory. Close it before the peer's agent is freed. */
struct disk *disk_new(struct peer *peer);
void disk_close(struct disk *disk);
