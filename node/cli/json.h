/* Results and params of the API as jansson's values: what a peer answers is MessagePack, what a
 * person's script reads is JSON, and a verb that shows a table reads the same value.
 *
 * Binary becomes text; bytes that are no UTF-8 become U+FFFD.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/buffer.h"

/* One packed value, all of `packed`. -EBADMSG (also for a map with keys that are no text), -ENOMEM.
 */
int json_from_packed(struct bytes packed, json_t **ret);

/* Appends `value`; maps keep their keys' order. -ENOMEM, -EINVAL deeper than CLI_PARAMS_DEPTH_MAX.
 */
int json_to_packed(const json_t *value, struct buffer *ret);

/* A key's text, or "" if it is not there; 0; false. */
const char *json_text(const json_t *map, const char *key);
json_int_t json_number(const json_t *map, const char *key);
bool json_flag(const json_t *map, const char *key);
