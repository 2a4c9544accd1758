/* What a service is: the Compose Specification's words, as data.
 *
 * A `struct service_spec` is made by node/compose/ from a Compose file, travels inside a deploy
 * command, and is kept as a revision of its service in the intent. It owns everything it points to;
 * service_spec_done() frees it. The encoding is deterministic: equal specs give equal bytes, which
 * is how "nothing changed" is recognised.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/bounds.h"
#include "base/reader.h"
#include "base/text_list.h"
#include "base/writer.h"
#include "consensus/bounds.h"

enum spec_mode { SPEC_REPLICATED, SPEC_GLOBAL };
enum spec_protocol { SPEC_TCP, SPEC_UDP };
enum spec_mount_type {
    SPEC_MOUNT_VOLUME,
    SPEC_MOUNT_BIND,
    SPEC_MOUNT_TMPFS,
    SPEC_MOUNT_DEVICE, /* a file system: the local driver's type, device and o */
    SPEC_MOUNT_IMAGE,  /* the files of an image, read-only */
};
/* Whether mounts below a bind are seen on the other side: mount(2)'s words, "r" for all below. */
enum spec_propagation {
    SPEC_PROPAGATION_RPRIVATE,
    SPEC_PROPAGATION_PRIVATE,
    SPEC_PROPAGATION_RSLAVE,
    SPEC_PROPAGATION_SLAVE,
    SPEC_PROPAGATION_RSHARED,
    SPEC_PROPAGATION_SHARED,
};
enum spec_file_kind { SPEC_FILE_CONFIG, SPEC_FILE_SECRET };
enum spec_restart_condition { SPEC_RESTART_NONE, SPEC_RESTART_ON_FAILURE, SPEC_RESTART_ANY };
enum spec_failure_action {
    SPEC_ON_FAILURE_PAUSE,
    SPEC_ON_FAILURE_CONTINUE,
    SPEC_ON_FAILURE_ROLLBACK
};
/* In the enum's order, with a NULL behind the last. */
extern const char *const spec_propagation_words[];
enum spec_update_order {
    SPEC_STOP_FIRST,
    SPEC_START_FIRST,
    SPEC_ORDER_BY_DATA, /* the file does not say: see service_spec_stops_first() */
};
enum spec_dependency_condition {
    SPEC_DEPENDS_STARTED,
    SPEC_DEPENDS_HEALTHY,   /* a replica serves */
    SPEC_DEPENDS_COMPLETED, /* a replica has ended well, and is not started again */
};
enum spec_network_mode {
    SPEC_NETWORK_BRIDGE,
    SPEC_NETWORK_NONE, /* a loopback alone */
    SPEC_NETWORK_HOST, /* the machine's own */
};
enum spec_on_minority {
    SPEC_MINORITY_HOLD,
    SPEC_MINORITY_DUPLICATE,       /* unless it mounts a volume */
    SPEC_MINORITY_DUPLICATE_EMPTY, /* also then: a stand-in's volumes are its own machine's */
};

struct spec_port {
    uint16_t published; /* on every peer; 0: reachable inside the cluster only */
    uint16_t target;    /* inside the container */
    uint8_t protocol;   /* enum spec_protocol */
};

struct spec_mount {
    uint8_t type; /* enum spec_mount_type */
    char *source; /* volume name, host path, device or image; NULL: tmpfs, anonymous volumes */
    char *target;
    bool read_only;
    uint64_t size_bytes; /* tmpfs only; 0: no limit */
    uint32_t mode;       /* tmpfs only; 0: 01777 */
    bool must_exist;     /* bind only: a folder that is not there is not made */
    bool is_empty;       /* volume only: a new one has nothing of the image's */
    bool of_image;       /* anonymous volume only: a VOLUME of the image's, found at deploy */
    uint8_t propagation; /* bind only: enum spec_propagation */
    char *subpath;       /* volume and image only: what of it is mounted; NULL: all */
    char *fs_type;       /* device only: "nfs" */
    char *fs_options;    /* device only: as mount -o takes them; NULL: none */
    char *image_digest;  /* image only: "sha256:…" of the manifest, resolved at deploy */
};

/* A command run in a container after its start, or before its end. */
struct spec_hook {
    struct text_list command; /* argv */
    char *user, *working_dir; /* NULL: the container's */
    struct text_list environment;
    bool privileged; /* with all capabilities */
};

/* A config or secret shown to the container as a file. */
struct spec_file {
    uint8_t kind; /* enum spec_file_kind */
    char *source; /* its name in the intent's blobs */
    char *target; /* absolute path in the container */
    uint32_t uid, gid, mode;
    uint64_t version; /* of the blob; 0 in a command: the newest, which applying it writes here */
};

/* A service of the same stack that must be as far before a container of this one starts. */
struct spec_dependency {
    char name[BASE_NAME_BYTES_MAX + 1]; /* within the stack */
    uint8_t condition;                  /* enum spec_dependency_condition */
};

/* A network that the service is on. Services that share none neither see nor reach each other. */
struct spec_network {
    char *name;               /* in the cluster: "shop_front" */
    bool internal;            /* no way to the world */
    struct text_list aliases; /* names of the service, for those on this network */
    struct text_list subnets; /* "172.28.0.0/16": addresses that lead here, not to the world */
    /* Further addresses of the service, for those on this network; port 0. At most one of a family
     * by a Compose file. */
    struct address addresses[SPEC_ADDRESSES_MAX];
    size_t address_count;
};

struct spec_health {
    bool is_set;           /* false: the image's own health check, if it has one, counts */
    bool disabled;         /* no check, also not the image's */
    struct text_list test; /* argv; a shell form stands as "/bin/sh", "-c", text */
    uint16_t probe_port;   /* instead: a port that must be open; 0: none */
    char *probe_path;      /* and answer a GET of this; NULL: TCP is enough */
    uint32_t interval_ms, timeout_ms, start_period_ms, start_interval_ms, retries;
};

struct spec_resources {
    uint32_t cpu_limit_millis, cpu_reserved_millis; /* thousandths of a core; 0: none */
    uint64_t memory_limit_bytes, memory_reserved_bytes;
    uint32_t pids_limit;
};

/* What the kernel grants the process beside capabilities and resources, as texts that
 * node/compose/ has checked. */
struct spec_sandbox {
    struct text_list groups;                  /* supplementary: names of the image's, or numbers */
    struct text_list dns_search, dns_options; /* of resolv.conf */
    struct text_list ulimits;                 /* "nofile=SOFT:HARD" */
    struct text_list sysctls;                 /* "net.core.somaxconn=1024" */
    struct text_list devices;                 /* "/dev/fuse:/dev/fuse:rwm": here, there, access */
    char *cpuset;                             /* "0-2,7"; NULL: all */
    struct text_list options;                 /* "pid=host": see runtime/sandbox_options.h */
    bool privileged, seccomp_off, may_gain_privileges;
    uint64_t shm_bytes;    /* of /dev/shm; 0: 64 MiB */
    uint64_t swap_bytes;   /* memory and swap together; 0: no swap; UINT64_MAX: no limit */
    uint32_t cpu_shares;   /* weight among busy containers; 0: 1024 */
    int32_t oom_score_adj; /* -1000 to 1000 */
    bool tty, stdin_open;  /* a terminal; standard input for those who attach */
};

struct spec_restart {
    uint8_t condition; /* enum spec_restart_condition */
    uint32_t delay_ms, window_ms;
    uint32_t max_attempts; /* 0: no limit */
};

/* How replicas are replaced by a new revision; also used for rolling back. */
struct spec_update {
    uint32_t parallelism; /* 0: all at once */
    uint32_t delay_ms;    /* between batches */
    uint32_t monitor_ms;  /* how long a new replica must stay well */
    uint32_t max_failure_permille;
    uint8_t failure_action; /* enum spec_failure_action */
    uint8_t order;          /* enum spec_update_order */
};

struct service_spec {
    char name[BASE_NAME_BYTES_MAX + 1];   /* the service's name within its stack: "web" */
    char *image;                          /* as the operator wrote it */
    char *image_digest;                   /* "sha256:…" of the manifest, resolved at deploy */
    struct text_list command, entrypoint; /* count 0: the image's */
    struct text_list environment;         /* "KEY=VALUE" */
    char *working_dir, *user, *hostname;  /* NULL: the image's */
    struct text_list cap_add, cap_drop, extra_hosts;
    bool read_only, init;
    char *stop_signal; /* NULL: the image's or SIGTERM */
    uint32_t stop_grace_ms;
    struct spec_port *ports;
    size_t port_count;
    struct spec_mount *mounts;
    size_t mount_count;
    struct spec_file *files;
    size_t file_count;
    struct spec_health health;
    struct spec_resources resources;
    struct spec_sandbox sandbox;
    uint64_t log_bytes_max; /* kept of its output; 0: the default */
    struct spec_restart restart;
    struct spec_update update, rollback;
    uint8_t mode;      /* enum spec_mode */
    uint32_t replicas; /* wanted at deploy; `consort scale` changes the service's own count */
    struct text_list constraints;   /* "node.labels.zone==a", "node.name!=b" */
    struct text_list spread;        /* "node.labels.zone" */
    uint32_t max_replicas_per_node; /* 0: no limit */
    struct text_list labels;        /* "KEY=VALUE" */
    struct spec_dependency *dependencies;
    size_t dependency_count;
    uint32_t failover_after_ms; /* x-consort: how long a dead peer's replicas wait; default 0 */
    uint8_t on_minority;        /* x-consort: enum spec_on_minority */
    bool exclusive;             /* x-consort: at most one runs, at any time */
    uint8_t network_mode;       /* enum spec_network_mode */
    struct spec_network *networks;
    size_t network_count;     /* 0: the stack's default network */
    struct text_list servers; /* DNS servers, for names that are not the cluster's; 0: the peer's */
    struct spec_hook *post_start, *pre_stop; /* run one after the other */
    size_t post_start_count, pre_stop_count;
};

/* Fills in the defaults: Compose's, but for updates, which by default start the new replica before
 * the old one is stopped (unless the service keeps data) and roll back on failure, so that an
 * update loses no request. */
void service_spec_init(struct service_spec *spec);
void service_spec_done(struct service_spec *spec);

/* The network of a service that names none: "shop_default". */
void spec_network_default(const char *stack, char ret[SPEC_NETWORK_NAME_MAX + 1]);

/* A copy for the caller to end; -ENOMEM leaves `*ret` untouched. */
int spec_networks_copy(const struct spec_network *networks, size_t count,
                       struct spec_network **ret);
void spec_networks_done(struct spec_network *networks, size_t count);

/* Whether a network's service may have that address: one machine could, and it is none of those
 * that Consort gives to containers and services itself. */
bool spec_address_is_valid(const struct address *address);

/* The network in which both have one address, and that address; NULL if there is none. */
const struct spec_network *spec_addresses_clash(const struct service_spec *a,
                                                const struct service_spec *b,
                                                const struct address **ret);

/* How networks are written by a level, within a spec and elsewhere. A failure to read is the
 * reader's; what was read so far is for the caller to end. */
void spec_networks_write(struct writer *writer, uint32_t level, const struct spec_network *networks,
                         size_t count);
struct spec_network *spec_networks_read(struct reader *reader, uint32_t level, size_t *ret_count);

/* Whether an update ends the old replica before it starts the new one. Two that write to the same
 * files at once would spoil them: unless the file says otherwise, that is so for a service that
 * keeps data, as with Docker. */
bool service_spec_stops_first(const struct service_spec *spec, const struct spec_update *update);

/* Whether the replica's data is where it ran: it mounts a volume. */
bool service_spec_has_volumes(const struct service_spec *spec);

/* Adds an empty mount and returns it, borrowed until the next call; NULL for no memory. */
struct spec_mount *service_spec_add_mount(struct service_spec *spec);
void spec_mount_done(struct spec_mount *mount);

/* A copy for the caller to end, also after -ENOMEM. */
int spec_mount_copy(const struct spec_mount *from, struct spec_mount *ret);

/* An image that a replica needs on its machine. */
struct spec_image {
    const char *name;   /* as the operator wrote it */
    const char *digest; /* NULL before it is resolved */
};

/* The image with that index: the service's own is the first, those that it mounts follow; false
 * beyond the last. What `*ret` points at is the spec's. */
bool service_spec_image(const struct service_spec *spec, size_t index, struct spec_image *ret);

/* Whether one of them has that digest. */
bool service_spec_needs_image(const struct service_spec *spec, const char *digest);

/* Says what the image with that index is; -ENOMEM. */
int service_spec_set_digest(struct service_spec *spec, size_t index, const char *digest);

/* As many as `*count`, one more: the new one, empty, or NULL for no memory. */
struct spec_hook *spec_hook_add(struct spec_hook **hooks, size_t *count);

/* Whether other peers may run its replicas in the place of unreachable ones (x-consort:
 * on_minority). A global service has a replica wherever one could stand in. */
bool service_spec_is_duplicated(const struct service_spec *spec);

/* -ENOMEM leaves `*ret` untouched. */
int service_spec_copy(const struct service_spec *spec, struct service_spec *ret);

/* The lowest level (consensus/level.h) that can say the spec. */
uint32_t service_spec_level(const struct service_spec *spec);

/* By a level: that one at least, or what it can't say is left out. */
void service_spec_write(struct writer *writer, uint32_t level, const struct service_spec *spec);

/* As that level writes it. -EBADMSG for anything malformed or over the bounds of
 * consensus/bounds.h, or -ENOMEM; `*ret` is untouched then. */
int service_spec_read(struct reader *reader, uint32_t level, struct service_spec *ret);
