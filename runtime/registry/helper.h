/* Docker's credential helpers: programs named docker-credential-NAME that keep logins elsewhere
 * than in a file, as "credsStore" and "credHelpers" of config.json name them. Told the registry on
 * its input, `get` prints {"Username": …, "Secret": …}.
 *
 * Blocks for HELPER_TIMEOUT_MS at most: the child that pulls asks.
 */
#pragma once

#include "base/error.h"

enum {
    HELPER_TIMEOUT_MS = 10 * 1000,
    HELPER_OUTPUT_BYTES_MAX = 64 * 1024,
    HELPER_NAME_BYTES_MAX = 64,
};

/* `*ret_login` ("NAME:PASSWORD", wiped and freed by the caller) stays NULL if the helper knows none
 * for that registry. -ENOENT: there is no such program; -EINVAL: it can't be one's name;
 * -ETIMEDOUT; -E2BIG; -EBADMSG: what it says makes no sense; -ENOTSUP: it has an identity token. */
int credential_helper_get(const char *name, const char *registry, char **ret_login,
                          struct error *error);
