#include "runtime/adopt.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "runtime/bounds.h"
#include "runtime/cgroup.h"
#include "runtime/conmon.h"
#include "runtime/network/network.h"
#include "runtime/rootfs.h"
#include "runtime/strays.h"
#include "runtime/tree.h"

static int compare_id(const void *item, const void *key)
{
    return strcmp(((const struct adopted *)item)->spec.id, key);
}

static const void *id_of(const void *item)
{
    return ((const struct adopted *)item)->spec.id;
}

static void adopted_free(struct adopted *adopted)
{
    if (!adopted)
        return;
    container_spec_done(&adopted->spec);
    container_plan_done(&adopted->plan);
    free(adopted);
}

void adoption_done(struct adoption *adoption)
{
    for (size_t i = 0; i < adoption->found.count; i++)
        adopted_free(adoption->found.items[i]);
    table_done(&adoption->found);
}

static int load_spec(const struct runtime_settings *settings, const char *id,
                     struct container_spec *ret)
{
    cleanup_buffer struct buffer packed;
    buffer_init(&packed);
    struct path path = path_data(settings, id, "spec");
    int result = file_read(path.text, RUNTIME_SPEC_BYTES_MAX, &packed);
    if (result < 0)
        return result;
    struct reader reader;
    reader_init(&reader, packed.bytes, packed.size);
    struct container_spec spec;
    result = container_spec_read(&reader, &spec);
    if (result < 0)
        return result;
    if (container_spec_check(&spec, NULL) < 0 || strcmp(spec.id, id) != 0) {
        container_spec_done(&spec);
        return -EBADMSG;
    }
    *ret = spec;
    return 0;
}

/* A container whose record is missing or broken was being made: it is made again. */
static void load_record(const struct runtime_settings *settings, const char *id,
                        struct container_record *ret)
{
    struct path path = path_data(settings, id, "state");
    container_record_init(ret);
    int result = container_record_load(path.text, ret);
    if (result < 0 && result != -ENOENT)
        log_warning("container %s: its state cannot be read (%s); starting it anew", id,
                    strerror(-result));
}

static int load_container(const struct runtime_settings *settings, const char *id,
                          struct adoption *adoption)
{
    struct adopted *adopted = calloc(1, sizeof(*adopted));
    if (!adopted)
        return -ENOMEM;
    int result = load_spec(settings, id, &adopted->spec);
    if (result < 0) {
        free(adopted);
        return result;
    }
    load_record(settings, id, &adopted->record);
    struct error error;
    if (process_check(&adopted->record.process) != -ESRCH &&
        launch_plan(settings, &adopted->spec, &adopted->plan, &error) < 0)
        log_warning("%s; it goes on running, without health checks", error.message);
    result = table_insert(&adoption->found, adopted);
    if (result < 0)
        adopted_free(adopted);
    return result;
}

struct sweep {
    const struct runtime_settings *settings;
    struct adoption *adoption;
};

/* Calls `each` for the names in a directory; the visited entries may be removed. */
static int each_name(const char *path, void (*each)(struct sweep *sweep, const char *name),
                     struct sweep *sweep)
{
    DIR *directory = opendir(path);
    if (!directory)
        return -errno;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.')
            each(sweep, entry->d_name);
    closedir(directory);
    return 0;
}

static bool is_orphan(const struct sweep *sweep, const char *id)
{
    return container_id_valid(id) && !table_find(&sweep->adoption->found, id);
}

/* Whatever of a container was found, all of it goes. */
static void remove_orphan(struct sweep *sweep, const char *id)
{
    if (!is_orphan(sweep, id))
        return;
    log_notice("container %s: removing what was left of it", id);
    struct error error = {0};
    if (launch_remove(sweep->settings, id, &(struct network_ends){0}, &error) < 0)
        log_warning("%s", error.message);
}

static void visit_container(struct sweep *sweep, const char *name)
{
    if (!container_id_valid(name))
        return;
    int result = load_container(sweep->settings, name, sweep->adoption);
    if (result < 0 && result != -ENOENT) /* without: it was about to be made, or removed */
        log_warning("container %s: its spec cannot be read: %s", name, strerror(-result));
}

static void visit_cgroup(void *context, const char *id)
{
    remove_orphan(context, id);
}

static bool ip_is_used(void *context, uint32_t ip)
{
    const struct adoption *adoption = context;
    for (size_t i = 0; i < adoption->found.count; i++) {
        const struct network_ends *ends =
            &((const struct adopted *)adoption->found.items[i])->record.ends;
        for (size_t j = 0; j < ends->count; j++)
            if (ends->ips[j] == ip)
                return true;
    }
    return false;
}

static void sweep_orphans(struct sweep *sweep)
{
    const struct runtime_settings *settings = sweep->settings;
    static const char *const kinds[] = {"containers", "netns", "userns", "oci", "exits"};
    char path[PATH_BYTES];
    cgroup_list(settings->instance, visit_cgroup, sweep);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        path_format(path, sizeof(path), "%s/%s", settings->run_dir, kinds[i]);
        each_name(path, remove_orphan, sweep);
    }
    path_format(path, sizeof(path), "%s/containers", settings->data_dir);
    each_name(path, remove_orphan, sweep);
    network_sweep(&settings->network, ip_is_used, sweep->adoption);
}

static bool has_run(void *context, const char *id)
{
    const struct adoption *adoption = context;
    const struct adopted *adopted = table_find(&adoption->found, id);
    return adopted && adopted->record.process.pid != 0;
}

/* One that was created and never let go waits for ever at the OCI runtime's FIFO: it is made again.
 * One whose FIFO is gone is said to run, and must. */
static void forget_unstarted(const struct runtime_settings *settings, struct adoption *adoption)
{
    for (size_t i = 0; i < adoption->found.count; i++) {
        struct adopted *adopted = adoption->found.items[i];
        struct path fifo = path_oci(settings, adopted->spec.id, "exec.fifo");
        if (adopted->record.process.pid == 0)
            continue;
        if (access(fifo.text, F_OK) == 0)
            adopted->record.process = (struct process){0};
        else if (process_check(&adopted->record.process) == 0)
            conmon_start_again(settings, adopted->spec.id, adopted->record.process.pid);
    }
}

int adopt_scan(const struct runtime_settings *settings, struct adoption *ret, struct error *error)
{
    struct adoption adoption;
    table_init(&adoption.found, compare_id, id_of);
    struct sweep sweep = {.settings = settings, .adoption = &adoption};
    char path[PATH_BYTES];
    path_format(path, sizeof(path), "%s/containers", settings->data_dir);
    int result = each_name(path, visit_container, &sweep);
    if (result < 0) {
        adoption_done(&adoption);
        return error_set_errno(error, result, "runtime: cannot read %s", path);
    }
    strays_end(settings, has_run, &adoption);
    forget_unstarted(settings, &adoption);
    sweep_orphans(&sweep);
    *ret = adoption;
    return 0;
}
