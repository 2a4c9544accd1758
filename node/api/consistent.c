/* Queries with `consistent: true`: answered from this peer's state, as always, but only once it
 * shows every change that was agreed on before the question. */
#include <errno.h>
#include <stdlib.h>

#include "node/api/call.h"
#include "node/peer/reads.h"

struct consistent {
    struct api_call *call;
    api_method *method;
    struct buffer params;
};

static void on_fresh(void *context, const struct intent_result *result)
{
    struct consistent *consistent = context;
    if (result->code < 0)
        api_fail(consistent->call, &result->error);
    else
        consistent->method(consistent->call, buffer_view(&consistent->params));
    buffer_done(&consistent->params);
    free(consistent);
}

void api_answer_consistently(struct api_call *call, api_method *method, struct bytes params)
{
    struct consistent *consistent = calloc(1, sizeof(*consistent));
    int rc = consistent ? buffer_append(&consistent->params, params.data, params.size) : -ENOMEM;
    if (rc == 0) {
        consistent->call = call;
        consistent->method = method;
        rc = peer_read(call->peer, on_fresh, consistent);
    }
    if (rc == 0)
        return;
    if (consistent)
        buffer_done(&consistent->params);
    free(consistent);
    api_fail_with(call, rc, NULL, "out of memory");
}
