#include "base/log.h"
#include "node/metrics/http.h"
#include "node/peer/peer.h"

static int write_metrics(void *context, struct buffer *ret)
{
    struct metrics metrics;
    metrics_collect(context, &metrics);
    return metrics_render(&metrics, ret);
}

static bool gather(void *context)
{
    return metrics_sample_begin(context);
}

int metrics_serve(struct peer *peer, struct error *error)
{
    const struct address *address = &peer->options.metrics;
    const struct http_source source = {.context = peer, .write = write_metrics, .gather = gather};
    char text[ADDRESS_TEXT_BYTES];
    if (address_is_none(address))
        return 0;
    address_format(address, text);
    int rc = http_new(peer->loop, address, &source, &peer->http, error);
    if (rc == 0)
        log_notice("metrics are served at http://%s/metrics", text);
    return rc;
}
