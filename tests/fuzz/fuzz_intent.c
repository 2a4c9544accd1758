/* A snapshot of the intent from another peer: what is read can be used, and writes back the same.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "consensus/intent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What every user of an intent relies on. */
static void check(const struct intent *intent)
{
    for (size_t i = 0; i < intent->replicas.count; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        assert(intent_spec_of(intent, replica));
        assert(intent_peer_find(intent, &replica->peer));
        assert(replica->generation < intent->next_generation);
    }
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        assert(intent_revision_find(service, service->revision));
    }
    for (size_t i = 0; i < intent->history_count; i++)
        assert(intent_event_at(intent, i)->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct intent *intent = NULL, *again = NULL;
    cleanup_buffer struct buffer first = {0}, second = {0};
    if (intent_read((struct bytes){data, size}, &intent) < 0)
        return 0;
    check(intent);
    assert(intent_write(intent, &first) == 0);
    assert(intent_read(buffer_view(&first), &again) == 0);
    assert(intent_write(again, &second) == 0);
    assert(bytes_equal(buffer_view(&first), buffer_view(&second)));
    intent_free(again);
    intent_free(intent);
    return 0;
}
