#include "node/peer/disk.h"

#include <stdlib.h>

#include "base/log.h"
#include "node/control/voters.h"
#include "node/grid.h"
#include "node/peer/peer.h"

enum {
    LOOK_MS = 10000,
    PART = 16, /* a change by less than this part of what was said is not worth saying */
};

struct disk {
    struct peer *peer; /* NULL: it has closed this */
    uv_timer_t timer;
    uv_fs_t look;
    bool is_looking, is_closed;
    bool is_said;
    struct view_disk said;
};

static void free_if_done(struct disk *disk)
{
    if (disk->is_closed && !disk->is_looking)
        free(disk);
}

static bool is_worth_saying(const struct disk *disk, const struct view_disk *now)
{
    uint64_t before = disk->said.free_bytes;
    uint64_t change =
        now->free_bytes > before ? now->free_bytes - before : before - now->free_bytes;
    return !disk->is_said || now->bytes != disk->said.bytes || change > before / PART ||
           voters_disk_is_full(now->free_bytes) != voters_disk_is_full(before);
}

static void say(struct disk *disk, const struct view_disk *now)
{
    struct peer *peer = disk->peer;
    bool was_full = disk->is_said && voters_disk_is_full(disk->said.free_bytes);
    if (agent_publish_disk(peer->agent, peer_now_ms(peer), now) < 0)
        return; /* no memory: the next time */
    if (voters_disk_is_full(now->free_bytes) && !was_full)
        log_warning("the disk under %s is nearly full: %llu MiB are free; another peer takes this "
                    "one's vote, if it votes and another can",
                    peer->options.data_dir, (unsigned long long)(now->free_bytes >> 20));
    disk->said = *now;
    disk->is_said = true;
    peer_wake(peer);
}

static void on_looked(uv_fs_t *look)
{
    struct disk *disk = look->data;
    struct view_disk now = {0};
    bool is_known = look->result == 0 && look->ptr;
    if (is_known) {
        const uv_statfs_t *found = look->ptr;
        now = (struct view_disk){.free_bytes = found->f_bavail * found->f_bsize,
                                 .bytes = found->f_blocks * found->f_bsize};
    }
    uv_fs_req_cleanup(look);
    disk->is_looking = false;
    if (is_known && disk->peer && !disk->peer->is_forgetting && is_worth_saying(disk, &now))
        say(disk, &now);
    free_if_done(disk);
}

static void on_timer(uv_timer_t *timer)
{
    struct disk *disk = timer->data;
    struct peer *peer = disk->peer;
    uv_timer_start(timer, on_timer, grid_wait_ms(peer->loop, LOOK_MS), 0);
    if (disk->is_looking)
        return; /* a disk that hangs */
    disk->is_looking =
        uv_fs_statfs(peer->loop, &disk->look, peer->options.data_dir, on_looked) == 0;
}

struct disk *disk_new(struct peer *peer)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    if (!disk)
        return NULL;
    disk->peer = peer;
    uv_timer_init(peer->loop, &disk->timer);
    disk->timer.data = disk->look.data = disk;
    uv_timer_start(&disk->timer, on_timer, 0, 0);
    return disk;
}

static void on_closed(uv_handle_t *handle)
{
    struct disk *disk = handle->data;
    disk->is_closed = true;
    free_if_done(disk);
}

void disk_close(struct disk *disk)
{
    if (!disk)
        return;
    disk->peer = NULL;
    uv_close((uv_handle_t *)&disk->timer, on_closed);
}
