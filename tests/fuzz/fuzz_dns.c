/* Questions from containers: answered, refused or passed on. An answer is a well-formed packet with
 * the question's id; the first byte says who asks.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "node/mesh/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    DNS_HEAD_BYTES = 12,
    VIRTUAL_BASE = 0x0a610000,
};

static void check_answer(struct bytes question, const struct buffer *answer)
{
    assert(answer->size >= DNS_HEAD_BYTES);
    assert(memcmp(answer->bytes, question.data, 2) == 0);
    assert((answer->bytes[2] & 0x80) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char hello_name[] = "hello_default", other_name[] = "other_default";
    struct spec_network network = {.name = hello_name}, other = {.name = other_name};
    struct route items[] = {
        {"hello_db", "hello", .virtual_ip = 2, .networks = &network, .network_count = 1},
        {"hello_web", "hello", .virtual_ip = 3, .networks = &network, .network_count = 1},
        {"other_web", "other", .virtual_ip = 4, .networks = &other, .network_count = 1},
    };
    const struct route *const askers[] = {NULL, &items[0], &items[2]};
    const struct routes routes = {items, sizeof(items) / sizeof(items[0])};
    cleanup_buffer struct buffer answer = {0}, refusal = {0};
    if (size == 0)
        return 0;
    struct bytes question = {data + 1, size - 1};
    enum dns_outcome outcome =
        dns_answer(&routes, askers[data[0] % 3], VIRTUAL_BASE, data[0] % 2 == 0, question, &answer);
    if (outcome == DNS_ANSWERED)
        check_answer(question, &answer);
    else
        assert(answer.size == 0);
    dns_fail(question, &refusal);
    if (refusal.size > 0)
        check_answer(question, &refusal);
    return 0;
}
