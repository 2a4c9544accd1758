/* What a registry answers to who does not say who they are: the WWW-Authenticate header (RFC 9110,
 * section 11; the distribution specification's token authentication).
 *
 * Pure. The header comes from a stranger: bounded, and refused unless it is of one of two kinds.
 */
#pragma once

#include <stdbool.h>

#include "runtime/bounds.h"

struct registry_challenge {
    bool is_bearer; /* a token is to be had at `realm`; else Basic: name and password do */
    char realm[REGISTRY_TEXT_BYTES_MAX];
    char service[REGISTRY_TEXT_BYTES_MAX]; /* "" if not said; scope likewise */
    char scope[REGISTRY_TEXT_BYTES_MAX];
};

/* -ENOTSUP for another scheme, -EBADMSG for what is no such header or has too long a value. */
int registry_challenge_parse(const char *header, struct registry_challenge *ret);
