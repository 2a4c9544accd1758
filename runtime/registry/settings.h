/* How a registry is reached: what the operator wrote down, and what `docker login` did.
 *
 *     /etc/consort/registries.json (consort node --registries FILE)
 *     {
 *       "auths":    {"registry.example:5000": {"auth": "bmFtZTpwYXNzd29yZA=="}},
 *       "ca":       {"registry.example:5000": "/etc/ssl/example.pem"},
 *       "insecure": ["build.example:5000"],
 *       "mirrors":  {"docker.io": ["https://mirror.example"]},
 *       "credHelpers": {"registry.example": "pass"}, "credsStore": "secretservice"
 *     }
 *
 * "auths" is as in Docker's config.json, which is asked too ($DOCKER_CONFIG, else ~/.docker):
 * base64 of NAME:PASSWORD, or what a credential helper (helper.h) says. Both files are read anew
 * for each pull. Blocks on the disk, and on the helper.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text_list.h"

struct registry_settings {
    char *login;              /* "NAME:PASSWORD", or NULL */
    char *ca_file;            /* trusted beside none else, or NULL: the system's */
    bool is_insecure;         /* certificates are not checked, and plain HTTP will do */
    struct text_list mirrors; /* URLs, asked first, in this order */
};

/* What `path` and Docker's `docker_path` (NULL: none) say of `registry` ("docker.io",
 * "localhost:5000"). A file that is not there says nothing; one that makes no sense is -EBADMSG and
 * named. The caller calls registry_settings_done(). */
int registry_settings_load(const char *path, const char *docker_path, const char *registry,
                           struct registry_settings *ret, struct error *error);

/* Wipes the login. Accepts zeroes. */
void registry_settings_done(struct registry_settings *settings);
