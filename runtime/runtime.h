/* Containers on this machine: started, watched, restarted, stopped, and found again.
 *
 * A runtime belongs to one libuv loop; every function here is called on the loop's thread, returns
 * at once, and calls back on that thread. What blocks (mounts, netlink, the OCI runtime) runs on
 * libuv's workers. Containers run under conmon, so they outlive the daemon: runtime_new() takes
 * back what is on disk, and runtime_close() leaves everything running.
 *
 *     runtime_new(loop, &config, &runtime, &error);   … config.on_ready(context, NULL)
 *     runtime_start(runtime, &spec, &error);          … config.on_change(context, &status) many
 * times runtime_stop(runtime, "web-1-k3x9", 0); runtime_remove(runtime, "web-1-k3x9");          …
 * on_change with CONTAINER_REMOVED, once
 *
 * The daemon must run as root. If systemd starts it, the unit needs KillMode=process, for conmon
 * and the containers are its children until they detach.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/address.h"
#include "base/buffer.h"
#include "base/error.h"
#include "runtime/container_spec.h"
#include "runtime/secrets.h"
#include "runtime/userns.h"

struct address_rule;
struct runtime;
struct image_store;

enum container_state {
    CONTAINER_CREATING, /* root file system, network and configuration are being made */
    CONTAINER_STARTING, /* the OCI runtime is starting it, or its hooks after that run */
    CONTAINER_RUNNING,
    CONTAINER_STOPPING, /* its hooks before that run, or the stop signal was sent */
    CONTAINER_EXITED,   /* it ended and will not be restarted (or was stopped) */
    CONTAINER_BACKOFF,  /* it ended or could not start, and waits to be started again */
    CONTAINER_FAILED,   /* it ended too often or could not start, and nothing more will be tried */
    CONTAINER_REMOVED,  /* nothing is left of it; reported once */
};

enum health_state {
    HEALTH_NONE, /* there is no check */
    HEALTH_STARTING,
    HEALTH_HEALTHY,
    HEALTH_UNHEALTHY,
};

/* Borrowed: valid during the callback, or until the next call into libuv. */
struct container_status {
    const char *id;
    const struct container_spec *spec;
    enum container_state state;
    enum health_state health;
    /* In its networks, port 0; none before the network was made. The first is where published
     * ports and health checks reach it; with the machine's own network ("") that is the gateway. */
    struct address addresses[RUNTIME_NETWORKS_MAX];
    const char *networks[RUNTIME_NETWORKS_MAX]; /* the name of each one's */
    size_t address_count;
    pid_t pid;         /* 0 while no process runs */
    int exit_code;     /* of the last run: 0-255, 128 + signal, -1 while unknown */
    bool oom_killed;   /* in the last run */
    uint32_t restarts; /* since runtime_start() */
    int64_t started_wall_ms;
    int64_t finished_wall_ms;
    const char *error; /* "exit code 1; last log lines: …"; "" while all is well */
};

struct runtime_config {
    const char *data_dir; /* "/var/lib/consort": specs, logs, volumes, root file systems */
    const char *run_dir;  /* "/run/consort": what a reboot shall forget; short, for UNIX sockets */
    const char *instance; /* tells peers on one machine apart, in cgroups: "consort-1f2e3d4c5b6a" */
    const char *bridge;   /* NULL: "consort0" */
    const char *subnet; /* NULL: "10.88.0.0/16"; the first address is the gateway: network_pool.h */
    const char *virtual_subnet; /* NULL: "10.97.0.0/16"; TCP to it is redirected to mesh_port */
    uint16_t mesh_port;         /* on the gateway; 0 redirects nothing */
    const char *oci_runtime;    /* NULL: "crun", looked up in PATH */
    const char *conmon;         /* NULL: "conmon" */
    int launch_timeout_ms;      /* for one step of either; 0: RUNTIME_LAUNCH_TIMEOUT_MS */
    struct userns_pool userns;  /* no ranges: userns_pool_default */
    struct image_store *images; /* borrowed for the runtime's life */

    void *context; /* passed to the callbacks */

    /* The network stands and what was on disk is taken back; commands are accepted from now on. On
     * failure `error` says why, and the runtime can only be closed. */
    void (*on_ready)(void *context, const struct error *error);
    void (*on_change)(void *context, const struct container_status *status);
    secret_source *on_secret; /* NULL: no container shows a secret */
    /* Whether an anonymous volume that no container here mounts may be wanted again, by the name
     * that a mount's source had. NULL: none is ever removed. */
    bool (*needs_volume)(void *context, const char *name);
};

/* Checks the configuration (-EINVAL), then sets up in the background. Strings are copied. */
int runtime_new(uv_loop_t *loop, const struct runtime_config *config, struct runtime **ret,
                struct error *error);

/* Removes the bridge and the rules, for a machine that leaves its cluster: no container is here any
 * more, and none is started afterwards. runtime_close() waits until it is done. -ENOMEM. */
int runtime_remove_network(struct runtime *runtime);

/* Stops watching and leaves the containers running. Work under way is finished first; then all
 * memory is freed and `on_closed` (may be NULL) is called. Open logs and execs end without a call.
 */
void runtime_close(struct runtime *runtime, void (*on_closed)(void *context), void *context);

/* The gateway's address on the bridge, where the daemon's DNS and mesh shall listen. */
struct address runtime_gateway(const struct runtime *runtime);

/* Whether containers have IPv6 addresses too (base/ula.h). Once it is ready. */
bool runtime_has_ipv6(const struct runtime *runtime);

/* Where containers' addresses come from: all of `network`/`prefix` but for the first block, which
 * is the gateway's. */
struct runtime_range {
    uint32_t network; /* in host order */
    uint8_t prefix, block_prefix;
    bool has_ipv6; /* each has another by its side */
};
struct runtime_range runtime_range(const struct runtime *runtime);

/* True for an address that is, or may become, a container's here (IPv4). */
bool runtime_range_has(const struct runtime_range *range, const struct address *address);

/* The IPv6 address by the side of one of these, or of the gateway's (base/ula.h). */
struct address runtime_range_ula(const struct runtime_range *range, const struct address *address);

/* The addresses that services have within one network (runtime/network/address_rules.h), all of
 * them; copied. Containers of these networks reach them soon, and those that are started from now
 * on before they run. Once it is ready. -ENOMEM. */
int runtime_set_addresses(struct runtime *runtime, const struct address_rule *items, size_t count);

/* Starts a container, or does nothing if one with that id is there and was not stopped (a stopped
 * or failed one is started again, counting its restarts anew). Copies `spec`. -EAGAIN before
 * on_ready; -EINVAL with the reason in `error`; -EBUSY while it is being removed. */
int runtime_start(struct runtime *runtime, const struct container_spec *spec, struct error *error);

/* Sends the stop signal, and SIGKILL after `grace_ms` (0: the spec's). A container that waits to be
 * restarted is not. -ENOENT if there is none. */
int runtime_stop(struct runtime *runtime, const char *id, int64_t grace_ms);

/* Stops it if it runs, and deletes all but its volumes; of these, anonymous ones go once nobody
 * needs them (runtime_config.needs_volume). -ENOENT if there is none. */
int runtime_remove(struct runtime *runtime, const char *id);

/* Changes limits while the container runs (0 lifts one) and reads them back. `callback` gets NULL,
 * or the error: -ENOENT for no such container, -EBUSY for less memory than it uses now. The new
 * limits are kept for later starts. Returns -ENOENT, -EAGAIN while another change of it is under
 * way, or -ENOMEM, and then does not call back. */
int runtime_update_limits(struct runtime *runtime, const char *id, uint32_t cpu_millicores,
                          uint64_t memory_bytes,
                          void (*callback)(void *context, const struct error *error),
                          void *context);

/* -ENOENT if there is none. */
int runtime_status(const struct runtime *runtime, const char *id, struct container_status *ret);

/* Calls `each` for every container in order of id. */
void runtime_list(const struct runtime *runtime,
                  void (*each)(void *context, const struct container_status *status),
                  void *context);

/* How long some process waited for what it needs. The kernel says it in the unified hierarchy. */
struct container_pressure {
    int32_t permille;     /* of the last 10 s; -1: not known */
    uint64_t waited_usec; /* since the container started */
};

struct container_stats {
    uint64_t memory_bytes;         /* in use, without the page cache that can be dropped */
    uint64_t memory_limit_bytes;   /* 0: none */
    uint64_t cpu_usec;             /* since the container started */
    uint32_t cpu_limit_millicores; /* 0: none */
    uint32_t pids;
    struct container_pressure cpu_pressure, memory_pressure, io_pressure;
};

struct stats_entry {
    char id[RUNTIME_ID_BYTES_MAX + 1];
    struct container_stats stats;
};

struct stats_callback {
    void *context;
    /* In order of id. */
    void (*on_stats)(void *context, const struct stats_entry *entries, size_t count);
};

/* Reads the control groups of all containers that run, on a worker: some ten files of each. Calls
 * back once, also while the runtime closes. -ENOMEM. */
int runtime_stats(struct runtime *runtime, const struct stats_callback *callback);

/* The entry of that container, or NULL. */
const struct container_stats *stats_find(const struct stats_entry *entries, size_t count,
                                         const char *id);

struct process_entry {
    int32_t pid, host_pid;               /* in the container, and on the machine */
    uint32_t uid;                        /* the effective one */
    char state;                          /* as ps shows it: R, S, D, Z, T, … */
    uint64_t cpu_usec;                   /* since it began */
    uint64_t memory_bytes;               /* resident */
    char command[PROCESS_COMMAND_BYTES]; /* "sh -c …", cut; "[name]" where there is none */
};

struct processes_callback {
    void *context;
    /* `count` entries, borrowed; or a negative errno: -ENOENT if the container has ended. */
    void (*on_processes)(void *context, const struct process_entry *entries, int count);
};

/* Lists a running container's processes, at most RUNTIME_PROCESSES_MAX; those in control groups
 * that it made for itself are not seen. Calls back once, also when the runtime closes. -ENOENT,
 * -ESRCH if it does not run, -ENOMEM. */
int runtime_processes(struct runtime *runtime, const char *id,
                      const struct processes_callback *callback);

/* Writes a container's log stream; see runtime/logs.h. */
struct runtime_logs;

struct logs_options {
    int64_t since_wall_ms; /* 0: from the beginning */
    int64_t tail;          /* only the last so many lines; -1: all */
    bool follow;           /* go on with what is written from now on */
};

struct logs_callbacks {
    void *context;
    /* One line without its newline. `is_error` tells standard error from standard output. */
    void (*on_line)(void *context, int64_t wall_ns, bool is_error, struct bytes line);
    /* All was read (never comes while following a container that exists), or reading failed. */
    void (*on_end)(void *context, int status);
};

/* Opens the log of a container, running or not. -ENOENT if there is none. */
int runtime_logs_open(struct runtime *runtime, const char *id, const struct logs_options *options,
                      const struct logs_callbacks *callbacks, struct runtime_logs **ret);

/* Holds lines back while the reader of the stream is slow. */
void runtime_logs_pause(struct runtime_logs *logs, bool pause);

/* Also after on_end. No callback comes afterwards; may be called within one. */
void runtime_logs_close(struct runtime_logs *logs);

/* A command run inside a container that runs. */
struct runtime_exec;

struct exec_options {
    const char *const *argv; /* ends with NULL */
    const char *const
        *environment; /* "NAME=value", added to the container's; ends with NULL; may be NULL */
    const char *user; /* "user[:group]", names of the container's or numbers; NULL: its own */
    const char *working_dir; /* NULL: the container's */
    bool privileged;         /* with all capabilities */
    bool tty;                /* standard output and error come as one */
    uint16_t rows, columns;  /* of the tty; 0: 24 × 80 */
};

struct exec_callbacks {
    void *context;
    void (*on_output)(void *context, bool is_error, struct bytes output);
    /* So much of the input was taken, or will never be; NULL: of no interest. Whoever keeps less
     * than RUNTIME_EXEC_INPUT_BYTES_MAX under way loses nothing. */
    void (*on_taken)(void *context, size_t bytes);
    /* The last call. `exit_code` is the command's, 128 + signal, or 126/127 if it cannot be run. */
    void (*on_exit)(void *context, int exit_code);
};

/* -ENOENT if there is no such container or user, -ESRCH if it does not run, or what starting failed
 * with. */
int runtime_exec(struct runtime *runtime, const char *id, const struct exec_options *options,
                 const struct exec_callbacks *callbacks, struct runtime_exec **ret,
                 struct error *error);

/* Queues a copy of `data` for the command's standard input: 0, -ENOMEM, -EPIPE after its end, or
 * -ENOBUFS while RUNTIME_EXEC_INPUT_BYTES_MAX wait to be taken. */
int runtime_exec_write(struct runtime_exec *exec, struct bytes data);

/* Ends standard input after what was written (a tty gets end-of-file, Ctrl-D). */
void runtime_exec_end_input(struct runtime_exec *exec);
void runtime_exec_resize(struct runtime_exec *exec, uint16_t rows, uint16_t columns);
void runtime_exec_pause(struct runtime_exec *exec, bool pause);

/* Must be called once, after on_exit or before: then the command is killed. No callback comes
 * afterwards. */
void runtime_exec_close(struct runtime_exec *exec);

/* What a container prints from now on, and its standard input. */
struct runtime_attach;

struct attach_callbacks {
    void *context;
    void (*on_output)(void *context, bool is_error, struct bytes output);
    void (*on_taken)(void *context, size_t bytes); /* as of an exec */
    void (*on_end)(void *context);                 /* the container has ended; the last call */
};

/* -ENOENT if there is no such container, -ESRCH if it does not run, or what connecting failed with.
 */
int runtime_attach(struct runtime *runtime, const char *id,
                   const struct attach_callbacks *callbacks, struct runtime_attach **ret);

/* Queues a copy of `data` for the container's standard input: 0, -ENOMEM, -EPIPE if it has none or
 * ended, or -ENOBUFS while RUNTIME_EXEC_INPUT_BYTES_MAX wait to be taken. */
int runtime_attach_write(struct runtime_attach *attach, struct bytes data);

/* Of its terminal, if it has one. */
void runtime_attach_resize(struct runtime_attach *attach, uint16_t rows, uint16_t columns);
void runtime_attach_pause(struct runtime_attach *attach, bool pause);

/* Must be called once, after on_end or before; the container goes on. No callback comes afterwards.
 */
void runtime_attach_close(struct runtime_attach *attach);

/* Files copied out of a container that runs, or into it, as a tar archive (copy_files.h). */
struct runtime_copy;

struct copy_options {
    const char *path; /* inside the container */
    bool goes_in;
};

struct copy_callbacks {
    void *context;
    void (*on_data)(void *context, struct bytes data); /* of the archive that comes out */
    void (*on_taken)(void *context, size_t bytes);     /* as of an exec */
    void (*on_end)(void *context,
                   const struct error *error); /* NULL: all is copied; the last call */
};

/* -ENOENT if there is no such container, -ESRCH if it does not run, -ENAMETOOLONG, -EBUSY with
 * RUNTIME_COPIES_MAX under way. */
int runtime_copy(struct runtime *runtime, const char *id, const struct copy_options *options,
                 const struct copy_callbacks *callbacks, struct runtime_copy **ret);

/* Queues a piece of the archive that goes in: 0, or as runtime_exec_write. */
int runtime_copy_write(struct runtime_copy *copy, struct bytes data);
void runtime_copy_end_input(struct runtime_copy *copy);
void runtime_copy_pause(struct runtime_copy *copy, bool pause);

/* Must be called once, after on_end or before: then it ends half done. No callback comes
 * afterwards.
 */
void runtime_copy_close(struct runtime_copy *copy);

/* "running": for people. */
const char *container_state_name(enum container_state state);
