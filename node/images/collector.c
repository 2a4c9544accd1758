#include "node/images/collector.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "node/grid.h"
#include "node/images/images_private.h"

enum {
    /* As Kubernetes' defaults. */
    COLLECTOR_FULL_PERCENT = 85,
    COLLECTOR_ENOUGH_PERCENT = 80,
    COLLECTOR_LOOK_MS = 60 * 1000,
    COLLECTOR_SOON_MS = 500,
    COLLECTOR_LOOKS = 10,       /* at the disk, until age is looked at, too */
    COLLECTOR_WORRY_LOOKS = 60, /* … until a disk that stays full is told of again */
};

struct collector {
    uv_timer_t timer;
    uv_work_t work;
    struct images *images;
    bool has_begun, is_closing, is_working;
    unsigned looks, worried_at;

    /* Of the work. */
    bool is_aged; /* age counts this time */
    bool is_full; /* still, at the end */
    bool has_changed;
    unsigned percent;
    int64_t freed_bytes;
    struct error error;
};

/* How full the disk is for whoever is not root, as df says it. */
static unsigned used_percent(const struct blob_store *blobs)
{
    struct statvfs disk;
    if (fstatvfs(blob_store_fd(blobs), &disk) < 0 || disk.f_blocks == 0)
        return 0;
    uint64_t used = disk.f_blocks - disk.f_bfree, all = used + disk.f_bavail;
    return all == 0 ? 0 : (unsigned)((100 * used + all - 1) / all);
}

static int collect_once(struct collector *collector, int64_t keep_s)
{
    int64_t freed_bytes = 0;
    int rc = image_store_collect(collector->images->config.store, keep_s, &freed_bytes,
                                 &collector->error);
    collector->freed_bytes += freed_bytes;
    collector->has_changed = collector->has_changed || freed_bytes > 0;
    return rc;
}

static void collect(uv_work_t *work)
{
    struct collector *collector = work->data;
    struct image_store *store = collector->images->config.store;
    struct blob_store *blobs = image_store_blobs(store);
    collector->error = (struct error){0};
    collector->freed_bytes = 0;
    collector->has_changed = collector->is_full = false;
    collector->percent = used_percent(blobs);
    bool was_full = collector->percent >= COLLECTOR_FULL_PERCENT;
    if (!was_full && !collector->is_aged)
        return;
    int rc = collect_once(collector, was_full ? 0 : IMAGE_KEEP_S);
    while (rc == 0 && was_full && used_percent(blobs) >= COLLECTOR_ENOUGH_PERCENT) {
        rc = image_store_forget_oldest(store, &collector->error);
        if (rc == 0) {
            collector->has_changed = true;
            rc = collect_once(collector, 0);
        }
    }
    collector->percent = used_percent(blobs);
    collector->is_full = collector->percent >= COLLECTOR_FULL_PERCENT;
}

static void on_closed(uv_handle_t *handle)
{
    struct collector *collector = handle->data;
    struct images *images = collector->images;
    free(collector);
    images_release(images);
}

static void on_timer(uv_timer_t *timer);

static void tell(struct collector *collector)
{
    if (collector->error.code < 0)
        log_limited(LOG_WARNING, "images that nothing uses can't be removed: %s",
                    collector->error.message);
    if (collector->freed_bytes > 0)
        log_notice("images that nothing used are removed: %" PRId64 " MB",
                   collector->freed_bytes / 1000000);
    if (!collector->is_full) {
        collector->worried_at = 0;
    } else if (collector->worried_at == 0 ||
               collector->looks - collector->worried_at >= COLLECTOR_WORRY_LOOKS) {
        collector->worried_at = collector->looks;
        log_warning("the disk with the images is full to %u %%, and all images are in use or have "
                    "names: consort image rm",
                    collector->percent);
    }
}

static void on_collected(uv_work_t *work, int status)
{
    struct collector *collector = work->data;
    (void)status;
    collector->is_working = false;
    tell(collector);
    if (collector->has_changed)
        images_look(collector->images, NULL, NULL);
    if (collector->is_closing)
        uv_close((uv_handle_t *)&collector->timer, on_closed);
    else
        uv_timer_start(&collector->timer, on_timer,
                       grid_wait_ms(collector->timer.loop, COLLECTOR_LOOK_MS), 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct collector *collector = timer->data;
    if (collector->is_working)
        return;
    collector->is_aged = collector->looks++ % COLLECTOR_LOOKS == 0;
    collector->is_working = true;
    uv_queue_work(timer->loop, &collector->work, collect, on_collected);
}

struct collector *collector_new(struct images *images)
{
    struct collector *collector = calloc(1, sizeof(*collector));
    if (!collector)
        return NULL;
    collector->images = images;
    collector->timer.data = collector->work.data = collector;
    uv_timer_init(images->config.loop, &collector->timer);
    images_hold(images);
    image_store_import_begin(images->config.store);
    return collector;
}

void collector_begin(struct collector *collector)
{
    if (collector->has_begun)
        return;
    collector->has_begun = true;
    image_store_import_end(collector->images->config.store);
    uv_timer_start(&collector->timer, on_timer,
                   grid_wait_ms(collector->timer.loop, COLLECTOR_LOOK_MS), 0);
}

void collector_close(struct collector *collector)
{
    if (!collector || collector->is_closing)
        return;
    collector->is_closing = true;
    if (!collector->has_begun)
        image_store_import_end(collector->images->config.store);
    if (!collector->is_working)
        uv_close((uv_handle_t *)&collector->timer, on_closed);
}

void collector_look(struct collector *collector)
{
    if (collector && collector->has_begun && !collector->is_closing && !collector->is_working)
        uv_timer_start(&collector->timer, on_timer, COLLECTOR_SOON_MS, 0);
}
