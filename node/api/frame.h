/* The API's frames: four bytes of length, then one MessagePack array (docs/api.md). */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/reader.h"
#include "base/writer.h"

enum {
    FRAME_BYTES_MAX = 1024 * 1024,
    FRAME_HEAD_BYTES = 4,
    FRAME_NAME_BYTES_MAX = 31, /* of methods and kinds */
};

enum frame_type { FRAME_REQUEST, FRAME_ANSWER, FRAME_NOTE };

struct frame {
    enum frame_type type;
    uint64_t id;
    char name[FRAME_NAME_BYTES_MAX + 1]; /* the method, or the note's kind */
    struct error error;                  /* of an answer; code 0: `body` is the result */
    struct bytes body;                   /* params, result or payload, packed; borrowed */
};

/* Takes the first whole frame off `input`'s front: 1 and its bytes in `*ret` (borrowed until
 * `input` changes; then buffer_consume() FRAME_HEAD_BYTES + ret->size), 0 if it is not whole yet,
 * -EMSGSIZE. */
int frame_next(const struct buffer *input, struct bytes *ret);

int frame_decode(struct bytes bytes, struct frame *ret);

/* These append a whole frame. -ENOMEM, or -EMSGSIZE past FRAME_BYTES_MAX; `ret` is as it was then.
 */
int frame_request(struct buffer *ret, uint64_t id, const char *method, struct bytes params);
int frame_answer(struct buffer *ret, uint64_t id, struct bytes result);
int frame_failure(struct buffer *ret, uint64_t id, const struct error *error);
int frame_note(struct buffer *ret, uint64_t id, const char *kind, struct bytes payload);

/* Finds a key of a map: a reader at its value, or false if it is not there or `map` is no map. */
bool frame_find(struct bytes map, const char *key, struct reader *ret);

/* Copies a text parameter; false if it is missing, or no text that fits. */
bool frame_text(struct bytes map, const char *key, char *ret, size_t capacity);
bool frame_u64(struct bytes map, const char *key, uint64_t *ret);
bool frame_flag(struct bytes map, const char *key); /* false if missing */
