/* What all parts of the runtime are told once, and where they keep things:
 *
 *     DATA/containers/ID/spec, state    what it is, and how it is (state.h)
 *     DATA/containers/ID/rootfs, …      its root file system (rootfs.h)
 *     DATA/containers/ID/log            written by conmon
 *     DATA/volumes/NAME
 *     DATA/anonymous/NAME               volumes of one replica and its successors
 *     RUN/containers/ID/config.json, …  the OCI bundle, files to mount, conmon's files
 *     RUN/netns/ID                      its network namespace
 *     RUN/userns/ID/…                   its user namespace, if it has one (userns.h)
 *     RUN/exits/ID                      its exit code, written by conmon
 *     RUN/oci/ID                        the OCI runtime's own
 *
 * RUN is emptied by a reboot, as are the things that it tells about. Read only once made, so worker
 * threads share it.
 */
#pragma once

#include "base/error.h"
#include "runtime/apparmor.h"
#include "runtime/file.h"
#include "runtime/network/firewall.h"
#include "runtime/sealed_program.h"
#include "runtime/userns.h"

struct address_rules;
struct image_store;
struct runtime_config;

struct runtime_settings {
    char *data_dir;
    char *run_dir;
    char *instance; /* the parent of the containers' control groups */
    char *bridge;
    char *oci_runtime;                 /* an absolute path */
    char *conmon;                      /* an absolute path */
    struct sealed_program oci_program; /* the OCI runtime; copied once the runtime is set up */
    int launch_timeout_ms;
    struct firewall_config network;
    struct address_rules *address_rules;
    struct image_store *images; /* borrowed */
    struct userns_pool userns;
    struct apparmor apparmor; /* found out once the runtime is set up */
};

/* Checks the configuration and copies it: -EINVAL, -ENOENT for a program that is not installed. */
int settings_init(struct runtime_settings *settings, const struct runtime_config *config,
                  struct error *error);
void settings_done(struct runtime_settings *settings);

/* Makes the directories above. */
int settings_make_directories(const struct runtime_settings *settings, struct error *error);

struct path {
    char text[PATH_BYTES];
};

struct path path_data(const struct runtime_settings *settings, const char *id, const char *file);
struct path path_anonymous(const struct runtime_settings *settings, const char *name);
struct path path_run(const struct runtime_settings *settings, const char *id, const char *file);
struct path path_netns(const struct runtime_settings *settings, const char *id);
struct path path_userns(const struct runtime_settings *settings, const char *id);
struct path path_exit(const struct runtime_settings *settings, const char *id);
struct path path_oci(const struct runtime_settings *settings, const char *id, const char *file);
struct path path_log(const struct runtime_settings *settings, const char *id);
