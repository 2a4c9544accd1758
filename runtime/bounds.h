/* What the runtime accepts at most, and the defaults that operators do not see.
 */
#pragma once

#include <stdint.h>

enum {
    /* Containers (container_spec.h, container.c). */
    RUNTIME_ID_BYTES_MAX = 64,
    RUNTIME_LIST_MAX = 1024,              /* arguments, variables, labels, hosts */
    RUNTIME_TEXT_BYTES_MAX = 128 * 1024,  /* one of them: what execve() takes (MAX_ARG_STRLEN) */
    RUNTIME_MOUNTS_MAX = 128,             /* of one container */
    RUNTIME_FILE_BYTES_MAX = 1024 * 1024, /* one secret or config */
    RUNTIME_SPEC_BYTES_MAX = 16 * 1024 * 1024,       /* a whole spec as kept on disk */
    RUNTIME_DURATION_MS_MAX = 24 * 24 * 3600 * 1000, /* any interval in a spec: 24 days */
    RUNTIME_MODE_MAX = 07777,
    RUNTIME_SIGNAL_MAX = 64,
    RUNTIME_OOM_SCORE_MAX = 1000,                 /* the kernel's own bound */
    RUNTIME_GROUPS_MAX = 32,                      /* supplementary groups that a spec adds */
    RUNTIME_DEVICES_MAX = 64,                     /* that a spec adds */
    RUNTIME_SHM_BYTES_DEFAULT = 64 * 1024 * 1024, /* of /dev/shm, as Docker's */
    RUNTIME_JOBS_MAX = 3,        /* blocking steps at once, of libuv's four workers */
    RUNTIME_PIDS_DEFAULT = 2048, /* as Podman's default */
    RUNTIME_LOG_BYTES_DEFAULT = 16 * 1024 * 1024,
    RUNTIME_NOFILE_MAX = 1048576,          /* open files, hard limit in a container */
    RUNTIME_LAUNCH_TIMEOUT_MS = 60 * 1000, /* for one step of conmon or the OCI runtime */
    RUNTIME_STOP_GRACE_MS_DEFAULT = 10 * 1000,
    RUNTIME_VOLUME_SWEEP_MS = 10 * 1000, /* between two looks at a volume that waits */
    RUNTIME_VOLUME_SWEEP_SOON_MS = 100,  /* after a container's removal */
    RUNTIME_HOOKS_MAX = 16,              /* of one container, after its start or before its end */
    RUNTIME_EXIT_FILE_WAIT_MS = 2000, /* conmon writes the exit code soon after the end, or never */
    RUNTIME_START_NOTED_MS = 2000,    /* within which a container's start is noted */
    RUNTIME_ERROR_LOG_LINES = 5,      /* last lines shown with an exit code */

    /* Restarts (restart.c). */
    RUNTIME_RESTART_DELAY_MS_DEFAULT = 500,
    RUNTIME_BACKOFF_MS_MAX = 60 * 1000,
    RUNTIME_RESTART_WINDOW_MS_DEFAULT = 10 * 60 * 1000, /* as Kubernetes resets its backoff */

    /* Health checks (health.c): Docker's defaults. */
    RUNTIME_HEALTH_INTERVAL_MS_DEFAULT = 30 * 1000,
    RUNTIME_HEALTH_TIMEOUT_MS_DEFAULT = 30 * 1000,
    RUNTIME_HEALTH_START_INTERVAL_MS_DEFAULT = 5 * 1000,
    RUNTIME_HEALTH_RETRIES_DEFAULT = 3,
    RUNTIME_PROBE_PATH_BYTES = 1024,       /* of a check by HTTP, with the NUL */
    RUNTIME_HEALTH_OUTPUT_BYTES_MAX = 512, /* kept of a failing check, for the error text */
    RUNTIME_CONDEMNED_BYTES = 768,         /* that, or a failing hook's, with words and the NUL */

    /* Network (network.c, netlink.c). */
    RUNTIME_BRIDGE_NAME_MAX = 10, /* leaves room for "-ffff" and "ni3f" in the kernel's 15 */
    RUNTIME_NETWORKS_MAX = 8,     /* of one container */
    RUNTIME_NETWORK_NAME_MAX = 127,
    RUNTIME_SUBNETS_MAX = 64,                                 /* of all of them */
    RUNTIME_SUBNET_BYTES_MAX = RUNTIME_NETWORK_NAME_MAX + 64, /* "172.28.0.0/16 NAME" */
    RUNTIME_SUBNET_PREFIX_MIN = 16, /* at most 65,534 addresses: one bit each in memory */
    RUNTIME_SUBNET_PREFIX_MAX = 29,
    RUNTIME_NETWORK_CHECK_MS = 30 * 1000, /* a firewall's reload may have dropped our rules */

    /* Logs, exec and attach (logs.c, exec.c, attach.c). */
    TTY_ROWS_DEFAULT = 24,
    TTY_COLUMNS_DEFAULT = 80,
    RUNTIME_LOG_LINE_BYTES_MAX = 64 * 1024, /* longer ones are passed on in pieces */
    RUNTIME_LOG_CHUNK_BYTES = 128 * 1024,
    RUNTIME_LOG_POLL_MS = 200,
    RUNTIME_EXEC_INPUT_BYTES_MAX = 1024 * 1024,
    RUNTIME_COPIES_MAX = 8,         /* at once, each with a thread */
    RUNTIME_COPY_PATH_BYTES = 4096, /* with the NUL */
    RUNTIME_PROCESSES_MAX = 1024,   /* listed of one container */
    PROCESS_COMMAND_BYTES = 256,    /* of one of them, with the NUL */

    /* Images (image_reference.h, image.h, image_store.h). */
    IMAGE_REFERENCE_BYTES_MAX = 384,    /* registry, name and tag with the NUL */
    IMAGE_TAG_BYTES_MAX = 129,          /* 128 by the distribution specification, and the NUL */
    IMAGE_PLATFORM_BYTES_MAX = 32,      /* "amd64" */
    IMAGE_JSON_BYTES_MAX = 1024 * 1024, /* one manifest, index or configuration */
    IMAGE_INDEX_ENTRIES_MAX = 1024,     /* images in an archive or a store, platforms in an index */
    IMAGE_INDEX_DEPTH_MAX = 3,          /* indexes within indexes */
    IMAGE_LAYERS_MAX = 128,             /* Docker makes at most 127 */
    IMAGE_PORTS_MAX = 128,
    IMAGE_VOLUMES_MAX = 32,        /* places where an image says that it keeps data */
    IMAGE_VOLUMES_BYTES_MAX = 512, /* of their paths, as others are told them, with the NUL */
    IMAGE_KEEP_S = 24 * 3600, /* what nothing needs any more stays, for it may be needed again */

    /* Registries (runtime/registry/). */
    REGISTRY_TEXT_BYTES_MAX = 1024, /* a host, a realm, the beginning of a message */
    REGISTRY_CHALLENGE_BYTES_MAX = 4096,
    REGISTRY_URL_BYTES_MAX = 4096,
    REGISTRY_ENDPOINTS_MAX = 9, /* a registry and its mirrors */

    /* Archives to import (image_import.c). */
    IMPORT_ENTRIES_MAX = 64 * 1024,
    IMPORT_LINKS_MAX = 8, /* links followed to find a file in the archive */

    /* Layers (layer.c). */
    LAYER_ENTRIES_MAX = 1000 * 1000,
    LAYER_PATH_BYTES_MAX = 3072, /* leaves room in PATH_MAX for the store's own directory */
    LAYER_DEPTH_MAX = 256,
    LAYER_XATTR_BYTES_MAX = 64 * 1024, /* XATTR_SIZE_MAX */
    LAYER_DIRECTORY_LIST_BYTES_MAX =
        32 * 1024 * 1024, /* names kept to set directories' times last */
    IMAGE_COPY_CHUNK_BYTES = 128 * 1024,
    IMAGE_UNPACKED_AT_ONCE_MAX = 4, /* layers of one image */
};

/* More than an enumerator holds. */
#define BLOB_BYTES_MAX   (INT64_C(64) << 30)  /* one blob, as stored */
#define LAYER_BYTES_MAX  (INT64_C(64) << 30)  /* one layer's archive, and its files, uncompressed */
#define IMPORT_BYTES_MAX (INT64_C(256) << 30) /* all files of one archive, uncompressed */
