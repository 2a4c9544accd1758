/* Reading JSON from strangers with jansson: what image.c and image_config.c share.
 *
 * Each getter takes a member that may be absent or null (0, result untouched) and refuses one of
 * the wrong type or size with -EBADMSG, naming the member in `error`.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/text_list.h"
#include "runtime/image/digest.h"

/* Parses one object, of at most IMAGE_JSON_BYTES_MAX and with no member twice, for two parsers
 * could take two different values. `what` names the document in errors. The caller json_decref()s.
 */
int image_json_parse(struct bytes json, const char *what, json_t **ret, struct error *error);

/* `*ret` borrows from the document. */
int image_json_text(const json_t *object, const char *member, const char **ret,
                    struct error *error);

/* As image_json_text, into fresh memory that the caller frees. */
int image_json_dup_text(const json_t *object, const char *member, char **ret, struct error *error);

/* Only from 0 to `max`. */
int image_json_integer(const json_t *object, const char *member, int64_t max, int64_t *ret,
                       struct error *error);

/* An array of texts. */
int image_json_list(const json_t *object, const char *member, struct text_list *ret,
                    struct error *error);

/* An array or an object, borrowed. */
int image_json_array(const json_t *object, const char *member, const json_t **ret,
                     struct error *error);
int image_json_object(const json_t *object, const char *member, const json_t **ret,
                      struct error *error);

/* A digest in a text; here absence is refused too. */
int image_json_digest(const json_t *object, const char *member, struct digest *ret,
                      struct error *error);

static inline void image_json_cleanup(json_t **json)
{
    json_decref(*json);
}

#define cleanup_json __attribute__((cleanup(image_json_cleanup)))
