#include "node/cli/json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bounds.h"
#include "base/reader.h"
#include "base/writer.h"
#include "node/cli/bounds.h"

/* A container that is being filled. */
struct level {
    json_t *value; /* borrowed from the level above, or the root */
    uint32_t left;
};

/* Text for JSON: `bytes` if they are UTF-8, else with what is not replaced. */
static json_t *text_of(struct bytes bytes)
{
    static const char replacement[] = "\xef\xbf\xbd";
    json_t *text = json_stringn((const char *)bytes.data, bytes.size);
    if (text)
        return text;
    cleanup_buffer struct buffer clean = {0};
    for (size_t i = 0; i < bytes.size; i++) {
        bool ascii = bytes.data[i] < 0x80;
        if (buffer_append(&clean, ascii ? (const void *)&bytes.data[i] : replacement,
                          ascii ? 1 : sizeof(replacement) - 1) < 0)
            return NULL;
    }
    return json_stringn((const char *)clean.bytes, clean.size);
}

static json_t *take_integer(struct reader *reader)
{
    struct reader before = *reader;
    int64_t number;
    uint64_t large;
    if (reader_i64(reader, &number) == 0)
        return json_integer(number);
    *reader = before; /* over INT64_MAX, which JSON's readers hardly take as an integer either */
    return reader_u64(reader, &large) == 0 ? json_real((double)large) : NULL;
}

/* Takes a value that holds no others, or NULL if it is malformed or there is no memory. */
static json_t *take_scalar(struct reader *reader)
{
    struct bytes bytes;
    bool flag;
    double real;
    switch (reader_peek(reader)) {
    case READER_NIL:
        reader_nil(reader);
        return json_null();
    case READER_BOOL:
        return reader_bool(reader, &flag) == 0 ? json_boolean(flag) : NULL;
    case READER_INTEGER:
        return take_integer(reader);
    case READER_FLOAT:
        return reader_double(reader, &real) == 0 ? json_real(real) : NULL;
    case READER_TEXT:
        return reader_text(reader, &bytes) == 0 ? text_of(bytes) : NULL;
    case READER_BINARY:
        return reader_binary(reader, &bytes) == 0 ? text_of(bytes) : NULL;
    default:
        return NULL;
    }
}

/* Takes one value; of a container only its head, and `*ret_count` says how many follow. */
static json_t *take_value(struct reader *reader, uint32_t *ret_count)
{
    *ret_count = 0;
    switch (reader_peek(reader)) {
    case READER_ARRAY:
        return reader_array(reader, ret_count) == 0 ? json_array() : NULL;
    case READER_MAP:
        return reader_map(reader, ret_count) == 0 ? json_object() : NULL;
    default:
        return take_scalar(reader);
    }
}

/* Puts a value under what is being filled; takes it over. */
static int put_value(const struct level *parent, struct bytes key, json_t *value)
{
    if (!json_is_object(parent->value))
        return json_array_append_new(parent->value, value);
    char name[CLI_TEXT_BYTES_MAX];
    if (key.size >= sizeof(name) || memchr(key.data, '\0', key.size)) {
        json_decref(value);
        return -1;
    }
    memcpy(name, key.data, key.size);
    name[key.size] = '\0';
    return json_object_set_new(parent->value, name, value);
}

int json_from_packed(struct bytes packed, json_t **ret)
{
    struct level levels[BASE_READER_DEPTH_MAX + 1];
    struct reader reader;
    uint32_t count;
    size_t depth = 0;
    reader_init(&reader, packed.data, packed.size);
    json_t *root = take_value(&reader, &count);
    if (!root)
        return -EBADMSG;
    if (count > 0)
        levels[depth++] = (struct level){root, count};
    while (depth > 0) {
        struct level *parent = &levels[depth - 1];
        struct bytes key = {0};
        if (parent->left == 0) {
            depth--;
            continue;
        }
        parent->left--;
        if (json_is_object(parent->value) && reader_text(&reader, &key) < 0)
            break;
        json_t *value = take_value(&reader, &count);
        if (!value || put_value(parent, key, value) < 0)
            break;
        if (count > 0) /* the reader refuses to go deeper than there are levels */
            levels[depth++] = (struct level){value, count};
    }
    if (depth > 0 || reader_end(&reader) < 0) {
        json_decref(root);
        return -EBADMSG;
    }
    *ret = root;
    return 0;
}

static void write_scalar(struct writer *writer, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        writer_text_bytes(writer, (struct bytes){(const uint8_t *)json_string_value(value),
                                                 json_string_length(value)});
        break;
    case JSON_INTEGER:
        writer_i64(writer, json_integer_value(value));
        break;
    case JSON_REAL:
        writer_double(writer, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        writer_bool(writer, json_is_true(value));
        break;
    default:
        writer_nil(writer);
        break;
    }
}

/* Recursion on what our own verbs made, never on input; and bounded. */
static int write_value(struct writer *writer, const json_t *value, int depth)
{
    int rc = 0;
    if (depth > CLI_PARAMS_DEPTH_MAX)
        return -EINVAL;
    if (json_is_array(value)) {
        writer_array(writer, json_array_size(value));
        for (size_t i = 0; rc == 0 && i < json_array_size(value); i++)
            rc = write_value(writer, json_array_get(value, i), depth + 1);
    } else if (json_is_object(value)) {
        const char *key;
        json_t *inner;
        writer_map(writer, json_object_size(value));
        json_object_foreach((json_t *)value, key, inner)
        {
            writer_text(writer, key);
            rc = rc < 0 ? rc : write_value(writer, inner, depth + 1);
        }
    } else {
        write_scalar(writer, value);
    }
    return rc;
}

int json_to_packed(const json_t *value, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    int rc = write_value(&writer, value, 0);
    return rc < 0 ? rc : writer_check(&writer);
}

const char *json_text(const json_t *map, const char *key)
{
    const char *text = json_string_value(json_object_get(map, key));
    return text ? text : "";
}

json_int_t json_number(const json_t *map, const char *key)
{
    return json_integer_value(json_object_get(map, key));
}

bool json_flag(const json_t *map, const char *key)
{
    return json_is_true(json_object_get(map, key));
}
