/* A stored record: a checksum, then the value. The checksum covers the key too, so that a value
 * found under another key is as damaged as one with a flipped bit.
 */
#pragma once

#include "base/buffer.h"

/* Appends the stored form of `value` to `ret`: 0 or -ENOMEM. */
int record_seal(struct bytes key, struct bytes value, struct buffer *ret);

/* Checks `sealed` and hands out its value, borrowed; -EBADMSG if it is damaged. */
int record_open(struct bytes key, struct bytes sealed, struct bytes *ret);
