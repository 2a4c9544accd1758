#include "runtime/image/image_json.h"

#include <errno.h>
#include <string.h>

#include "runtime/bounds.h"

int image_json_parse(struct bytes json, const char *what, json_t **ret, struct error *error)
{
    if (json.size > IMAGE_JSON_BYTES_MAX)
        return error_set(error, -E2BIG, "%s: %zu bytes are more than the limit of %d", what,
                         json.size, IMAGE_JSON_BYTES_MAX);
    json_error_t problem;
    json_t *document =
        json_loadb((const char *)json.data, json.size, JSON_REJECT_DUPLICATES, &problem);
    if (!document)
        return error_set(error, -EBADMSG, "%s: not JSON: line %d: %s", what, problem.line,
                         problem.text);
    *ret = document;
    return 0;
}

static int wrong_type(const char *member, const char *wanted, struct error *error)
{
    return error_set(error, -EBADMSG, "\"%s\" is not %s", member, wanted);
}

static const json_t *find(const json_t *object, const char *member)
{
    const json_t *value = json_object_get(object, member);
    return json_is_null(value) ? NULL : value;
}

int image_json_text(const json_t *object, const char *member, const char **ret, struct error *error)
{
    const json_t *value = find(object, member);
    if (!value)
        return 0;
    if (!json_is_string(value) || json_string_length(value) > RUNTIME_TEXT_BYTES_MAX)
        return wrong_type(member, "a text of reasonable length", error);
    *ret = json_string_value(value);
    return 0;
}

int image_json_dup_text(const json_t *object, const char *member, char **ret, struct error *error)
{
    const char *text = NULL;
    int r = image_json_text(object, member, &text, error);
    if (r < 0 || !text || !*text)
        return r;
    char *copy = strdup(text);
    if (!copy)
        return error_set_errno(error, -ENOMEM, "\"%s\"", member);
    *ret = copy;
    return 0;
}

int image_json_integer(const json_t *object, const char *member, int64_t max, int64_t *ret,
                       struct error *error)
{
    const json_t *value = find(object, member);
    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > max)
        return wrong_type(member, "a number within its limits", error);
    *ret = json_integer_value(value);
    return 0;
}

int image_json_list(const json_t *object, const char *member, struct text_list *ret,
                    struct error *error)
{
    const json_t *array = NULL;
    int r = image_json_array(object, member, &array, error);
    for (size_t i = 0; r == 0 && i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        if (!json_is_string(item) || json_string_length(item) > RUNTIME_TEXT_BYTES_MAX)
            return wrong_type(member, "a list of texts of reasonable length", error);
        r = text_list_add(ret, json_string_value(item));
        if (r < 0)
            return error_set_errno(error, r, "\"%s\"", member);
    }
    return r;
}

int image_json_array(const json_t *object, const char *member, const json_t **ret,
                     struct error *error)
{
    const json_t *value = find(object, member);
    if (value && !json_is_array(value))
        return wrong_type(member, "an array", error);
    *ret = value;
    return 0;
}

int image_json_object(const json_t *object, const char *member, const json_t **ret,
                      struct error *error)
{
    const json_t *value = find(object, member);
    if (value && !json_is_object(value))
        return wrong_type(member, "an object", error);
    *ret = value;
    return 0;
}

int image_json_digest(const json_t *object, const char *member, struct digest *ret,
                      struct error *error)
{
    const char *text = NULL;
    int r = image_json_text(object, member, &text, error);
    if (r == 0 && (!text || digest_parse(text, ret) < 0))
        r = wrong_type(member, "a sha256 digest", error);
    return r;
}
