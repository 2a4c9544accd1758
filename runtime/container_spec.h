/* What a container shall be: everything needed to start it again without asking anybody.
 *
 * The node translates a replica of a service into one of these and hands it to runtime_start(),
 * which keeps a copy in the container's directory, so that a daemon that starts finds its
 * containers again. A spec owns all that it points to. Empty text is NULL; an empty list has no
 * items.
 *
 *     struct container_spec spec;
 *     container_spec_init(&spec);
 *     spec.id = strdup("web-1-k3x9");
 *     text_list_add(&spec.command, "sleep");
 *     …
 *     container_spec_done(&spec);
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/reader.h"
#include "base/text_list.h"
#include "base/writer.h"
#include "runtime/bounds.h"

enum mount_type {
    MOUNT_BIND,   /* `source` is a path on this machine; a folder is made unless `must_exist` */
    MOUNT_VOLUME, /* `source` is a volume's name; its directory is made on first use and kept */
    MOUNT_TMPFS,  /* `size_bytes` bounds it; 0 leaves it to the kernel (half of the memory) */
    MOUNT_FILE,   /* `content`, or what is in `secret`, is written to memory and mounted */
    MOUNT_DEVICE, /* the file system `fs_type` of `source`, mounted with `fs_options` */
    MOUNT_IMAGE,  /* the files of the image with the digest `source`; always read-only */
};

struct container_mount {
    enum mount_type type;
    char *source; /* NULL for tmpfs and files */
    char *target; /* absolute path in the container */
    bool read_only;
    bool must_exist;   /* of a bind */
    bool is_empty;     /* of a volume: a new one has nothing of what it covers in the image */
    bool is_anonymous; /* of a volume: it goes when nobody needs it (volume_sweep.h) */
    char *subpath;     /* of a volume or an image: what of it is mounted; NULL: all */
    char *propagation; /* of a bind: "rslave"; NULL: "rprivate" */
    char *fs_type, *fs_options; /* the latter may be NULL */
    uint64_t size_bytes;
    struct buffer content;
    char *secret; /* of a file: its name; what is in it is never kept (runtime/secrets.h) */
    uint64_t secret_version;
    uint32_t mode; /* of a file or tmpfs; 0 means 0444 and 01777 */
    uint32_t uid;  /* owner of a file */
    uint32_t gid;
};

enum restart_policy {
    RESTART_NONE,
    RESTART_ON_FAILURE, /* a non-zero exit, a failed start, or failing health checks */
    RESTART_ANY,
};

struct container_restart {
    enum restart_policy policy;
    int64_t delay_ms;      /* before the first restart; doubles up to RUNTIME_BACKOFF_MS_MAX */
    uint32_t attempts_max; /* in a row; 0 means no limit */
    int64_t window_ms;     /* having run this long, a container starts counting anew; 0: default */
};

struct container_health {
    bool disabled;            /* run no check, whatever the image says */
    struct text_list command; /* argv run inside; empty means the image's own check, if any */
    uint16_t probe_port;      /* instead of the command: one that must be open; 0: none */
    char *probe_path;         /* and answer a GET of this by HTTP; NULL: TCP is enough */
    int64_t interval_ms;      /* 0 in any of these means the default in runtime/bounds.h */
    int64_t timeout_ms;
    int64_t start_period_ms;   /* failures count only after it; 0 means at once */
    int64_t start_interval_ms; /* between checks until the first success in the start period */
    uint32_t retries;          /* failures in a row that make it unhealthy */
};

/* A command that is run in the container. */
struct container_hook {
    struct text_list command; /* argv */
    char *user, *working_dir; /* NULL: the container's */
    struct text_list environment;
    bool privileged; /* with all capabilities */
};

struct container_hooks {
    struct container_hook *items;
    size_t count;
};

/* What the kernel grants the process beside capabilities and limits. */
struct container_sandbox {
    struct text_list groups; /* supplementary: names in the image's /etc/group, or numbers */
    struct text_list dns_search, dns_options; /* of resolv.conf */
    struct text_list ulimits;                 /* "nofile=SOFT:HARD" */
    struct text_list sysctls;                 /* "net.core.somaxconn=1024"; namespaced ones only */
    struct text_list devices;                 /* "/dev/fuse:/dev/fuse:rwm": here, there, access */
    struct text_list options;                 /* "pid=host": see runtime/sandbox_options.h */
    char *cpuset;
    bool privileged; /* as root on the machine: no seccomp, all capabilities and devices */
    bool seccomp_off;
    uint64_t shm_bytes;  /* of /dev/shm; 0: RUNTIME_SHM_BYTES_DEFAULT */
    uint64_t swap_bytes; /* memory and swap together; 0: no swap; UINT64_MAX: no limit */
    uint32_t cpu_shares; /* 0: the kernel's 1024 */
    int32_t oom_score_adj;
    bool tty;        /* a terminal instead of pipes; its output comes as one */
    bool stdin_open; /* standard input for whoever attaches, instead of none */
};

enum container_network_mode {
    CONTAINER_NETWORK_BRIDGE,
    CONTAINER_NETWORK_NONE, /* nothing but a loopback */
    CONTAINER_NETWORK_HOST, /* the machine's own */
};

struct container_spec {
    char *id;         /* unique on this peer: letters, digits, '-', '_', '.'; at most 64 */
    char *name;       /* for people: "shop/web.1" */
    char *image;      /* digest of the image's manifest: "sha256:…" */
    char *image_name; /* for people: "nginx:1.25" */
    struct text_list entrypoint;  /* empty: the image's, unless entrypoint_clear */
    bool entrypoint_clear;        /* run `command` alone */
    struct text_list command;     /* empty: the image's, unless the entrypoint was given */
    struct text_list environment; /* "NAME=value"; later ones win over the image's */
    char *working_dir;
    char *user; /* "user", "user:group", "uid:gid" */
    char *hostname;
    struct text_list extra_hosts; /* "name=address", or "name=host-gateway" */
    char *dns_server;             /* NULL: the bridge's gateway */
    struct text_list labels;      /* "key=value", in key order */

    struct container_mount *mounts; /* what is below another is mounted after it */
    size_t mount_count;

    uint32_t cpu_millicores; /* limits; 0 means none */
    uint64_t memory_bytes;
    uint32_t pids_max;               /* 0 means RUNTIME_PIDS_DEFAULT */
    struct text_list capability_add; /* "CAP_NET_ADMIN", or "ALL" */
    struct text_list capability_drop;
    bool read_only;             /* the root file system */
    bool privileged_escalation; /* allow set-user-id programs to gain privileges */
    bool init;                  /* put a small init before the command, to reap orphans */

    struct container_restart restart;
    struct container_health health;
    int stop_signal;        /* 0: the image's, else SIGTERM */
    int64_t stop_grace_ms;  /* between the stop signal and SIGKILL; 0: default */
    uint64_t log_bytes_max; /* 0: default */
    struct container_sandbox sandbox;

    enum container_network_mode network_mode;
    struct text_list networks;          /* with a way to the world; "default" if there is none */
    struct text_list internal_networks; /* without; RUNTIME_NETWORKS_MAX in all */
    struct text_list subnets; /* "172.28.0.0/16 front": what leads to one of these networks */

    struct container_hooks post_start; /* once for each start; one that fails ends the container */
    struct container_hooks pre_stop;   /* before the stop signal, within the grace */
};

/* All empty: no limits, no restart, no health check of its own. */
void container_spec_init(struct container_spec *spec);
void container_spec_done(struct container_spec *spec);

/* Adds an empty mount and returns it (borrowed until the next call), or NULL for no memory and past
 * RUNTIME_MOUNTS_MAX. */
struct container_mount *container_spec_add_mount(struct container_spec *spec);

/* Likewise, a hook; past RUNTIME_HOOKS_MAX NULL. */
struct container_hook *container_hooks_add(struct container_hooks *hooks);

/* Copies all of `from` into `spec`, which is uninitialised. 0 or -ENOMEM. */
int container_spec_copy(struct container_spec *spec, const struct container_spec *from);

/* Looks for what could not be run or would be unsafe: a missing id or image, relative targets,
 * names with slashes. 0, or -EINVAL with the reason in `error`. */
int container_spec_check(const struct container_spec *spec, struct error *error);

/* True for 1 to RUNTIME_ID_BYTES_MAX letters, digits, '-', '_' and '.', not starting with '.': what
 * is safe as a file's and a cgroup's name. */
bool container_id_valid(const char *id);

void container_spec_write(struct writer *writer, const struct container_spec *spec);

/* Reads what container_spec_write() wrote into `ret`, which is uninitialised and stays so on
 * failure. 0, -EBADMSG, or -ENOMEM. */
int container_spec_read(struct reader *reader, struct container_spec *ret);
