#include "node/store/record.h"

#include <errno.h>
#include <sodium.h>

#include "node/bounds.h"

static void checksum(struct bytes key, struct bytes value, uint8_t ret[STORE_CHECKSUM_BYTES])
{
    crypto_generichash_state state;
    uint8_t key_size = (uint8_t)key.size; /* so that key and value cannot trade bytes */
    crypto_generichash_init(&state, NULL, 0, STORE_CHECKSUM_BYTES);
    crypto_generichash_update(&state, &key_size, sizeof(key_size));
    crypto_generichash_update(&state, key.data, key.size);
    crypto_generichash_update(&state, value.data, value.size);
    crypto_generichash_final(&state, ret, STORE_CHECKSUM_BYTES);
}

int record_seal(struct bytes key, struct bytes value, struct buffer *ret)
{
    uint8_t sum[STORE_CHECKSUM_BYTES];
    if (value.size > SIZE_MAX - sizeof(sum))
        return -ENOMEM;
    int rc = buffer_reserve(ret, sizeof(sum) + value.size);
    if (rc < 0)
        return rc;
    checksum(key, value, sum);
    buffer_append(ret, sum, sizeof(sum)); /* there is room */
    buffer_append(ret, value.data, value.size);
    return 0;
}

int record_open(struct bytes key, struct bytes sealed, struct bytes *ret)
{
    uint8_t sum[STORE_CHECKSUM_BYTES];
    if (sealed.size < sizeof(sum))
        return -EBADMSG;
    struct bytes value = {sealed.data + sizeof(sum), sealed.size - sizeof(sum)};
    checksum(key, value, sum);
    if (sodium_memcmp(sum, sealed.data, sizeof(sum)) != 0)
        return -EBADMSG;
    *ret = value;
    return 0;
}
