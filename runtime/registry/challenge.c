#include "runtime/registry/challenge.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

static const char *skip_spaces(const char *at)
{
    return at + strspn(at, " \t,");
}

/* Reads `"…"` (or a bare word) into `ret`, which may be NULL; returns what follows, or NULL. */
static const char *read_value(const char *at, char ret[REGISTRY_TEXT_BYTES_MAX])
{
    size_t size = 0;
    bool is_quoted = *at == '"';
    at += is_quoted;
    while (*at && (is_quoted ? *at != '"' : !strchr(" \t,", *at))) {
        if (is_quoted && *at == '\\' && at[1])
            at++;
        if (size + 1 >= REGISTRY_TEXT_BYTES_MAX)
            return NULL;
        if (ret)
            ret[size] = *at;
        size++;
        at++;
    }
    if (is_quoted && *at++ != '"')
        return NULL;
    if (ret)
        ret[size] = '\0';
    return at;
}

static char *field_of(struct registry_challenge *challenge, const char *name, size_t size)
{
    const struct {
        const char *name;
        char *value;
    } fields[] = {
        {"realm", challenge->realm}, {"service", challenge->service}, {"scope", challenge->scope}};
    for (size_t i = 0; i < array_count(fields); i++)
        if (strlen(fields[i].name) == size && strncasecmp(fields[i].name, name, size) == 0)
            return fields[i].value;
    return NULL;
}

int registry_challenge_parse(const char *header, struct registry_challenge *ret)
{
    struct registry_challenge challenge = {0};
    const char *at = skip_spaces(header);
    size_t scheme = strcspn(at, " \t");
    if (scheme == strlen("bearer") && strncasecmp(at, "bearer", scheme) == 0)
        challenge.is_bearer = true;
    else if (scheme != strlen("basic") || strncasecmp(at, "basic", scheme) != 0)
        return -ENOTSUP;
    for (at = skip_spaces(at + scheme); *at; at = skip_spaces(at)) {
        size_t size = strcspn(at, "= \t,");
        if (size == 0 || at[size] != '=')
            return -EBADMSG;
        at = read_value(at + size + 1, field_of(&challenge, at, size));
        if (!at)
            return -EBADMSG;
    }
    if (challenge.is_bearer && !challenge.realm[0])
        return -EBADMSG;
    *ret = challenge;
    return 0;
}
