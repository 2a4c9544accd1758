#include "runtime/apparmor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "runtime/file.h"
#include "runtime/process.h"
#include "runtime/sandbox_options.h"

enum {
    LOADED_BYTES_MAX = 1024 * 1024, /* of the list of profiles */
    LOAD_TIMEOUT_MS = 30 * 1000,
};

static const char enabled_path[] = "/sys/module/apparmor/parameters/enabled";
static const char loaded_path[] = "/sys/kernel/security/apparmor/profiles";

const char apparmor_profile_name[] = "consort-default-1";

/* Docker's and Podman's rules, without files to include: of the machine's settings nothing may be
 * changed, nothing may be mounted, and no process outside be traced. */
const char apparmor_profile_text[] =
    "@{PROC}=/proc/\n"
    "profile consort-default-1 flags=(attach_disconnected,mediate_deleted) {\n"
    "  network,\n"
    "  capability,\n"
    "  file,\n"
    "  umount,\n"
    "  signal (receive) peer=unconfined,\n"
    "  signal (receive) peer={crun,runc},\n"
    "  signal (send,receive) peer=consort-default-1,\n"
    "  ptrace (trace,read,tracedby,readby) peer=consort-default-1,\n"
    "  deny mount,\n"
    "  deny @{PROC}/* w,\n"
    "  deny @{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],"
    "[^1-9][^0-9][^0-9][^0-9/]*}/** w,\n"
    "  deny @{PROC}/sys/[^k]** w,\n"
    "  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,\n"
    "  deny @{PROC}/sysrq-trigger rwklx,\n"
    "  deny @{PROC}/kcore rwklx,\n"
    "  deny /sys/[^f]*/** wklx,\n"
    "  deny /sys/f[^s]*/** wklx,\n"
    "  deny /sys/fs/[^c]*/** wklx,\n"
    "  deny /sys/fs/c[^g]*/** wklx,\n"
    "  deny /sys/fs/cg[^r]*/** wklx,\n"
    "  deny /sys/firmware/** rwklx,\n"
    "  deny /sys/devices/virtual/powercap/** rwklx,\n"
    "  deny /sys/kernel/security/** rwklx,\n"
    "}\n";

/* Whether a line of the list is that profile's: "NAME (MODE)". */
static bool is_in(const char *list, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = list; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, size) == 0 && strncmp(line + size, " (", 2) == 0)
            return true;
    }
    return false;
}

/* 1 if it is loaded, 0 if not, or why the list can't be read. */
static int is_loaded(const struct apparmor *apparmor, const char *name)
{
    cleanup_buffer struct buffer content = {0};
    int result = file_read(apparmor->loaded, LOADED_BYTES_MAX, &content);
    cleanup_free char *list = result < 0 ? NULL : buffer_take_text(&content);
    if (!list)
        return result < 0 ? result : -ENOMEM;
    return is_in(list, name);
}

/* Has apparmor_parser load it, without a cache: the profile changes with our version only. */
static int load(const char *path, struct buffer *output)
{
    static const char *const parsers[] = {"/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"};
    for (size_t i = 0; i < array_count(parsers); i++) {
        if (access(parsers[i], X_OK) < 0)
            continue;
        const char *const argv[] = {parsers[i], "--skip-cache", "--replace", path, NULL};
        int result = process_run(argv, LOAD_TIMEOUT_MS, output);
        return result > 0 ? -EINVAL : result;
    }
    return -ENOENT;
}

static int load_default(const char *directory, struct buffer *output)
{
    char path[PATH_BYTES];
    path_format(path, sizeof(path), "%s/apparmor", directory);
    int result = file_write(path, 0600, apparmor_profile_text, strlen(apparmor_profile_text));
    if (result == 0)
        result = load(path, output);
    unlink(path);
    return result;
}

void apparmor_setup(struct apparmor *apparmor, const char *directory)
{
    char enabled[8];
    *apparmor = (struct apparmor){.loaded = loaded_path};
    apparmor->is_on =
        file_read_text(enabled_path, enabled, sizeof(enabled)) == 0 && enabled[0] == 'Y';
    if (!apparmor->is_on)
        return;
    cleanup_buffer struct buffer output = {0};
    int result =
        is_loaded(apparmor, apparmor_profile_name) == 1 ? 0 : load_default(directory, &output);
    if (result == 0) {
        apparmor->default_profile = apparmor_profile_name;
        return;
    }
    cleanup_free char *said = buffer_take_text(&output);
    log_warning("AppArmor is on, but containers are not confined by it unless they name a profile: "
                "%s%s",
                result == -ENOENT ? "apparmor_parser is not installed" : strerror(-result),
                said ? said : "");
}

int apparmor_choose(const struct apparmor *apparmor, const struct container_sandbox *sandbox,
                    const char **ret, struct error *error)
{
    const char *named = sandbox_options_find(&sandbox->options, "apparmor");
    bool is_unconfined = named && strcmp(named, "unconfined") == 0;
    if (!named || is_unconfined) {
        *ret = named ? NULL : apparmor->default_profile;
        if (sandbox->privileged)
            *ret = NULL;
        return 0;
    }
    if (!apparmor->is_on) {
        error_set(error, -ENOTSUP,
                  "it shall be confined by AppArmor's profile %s, and this machine has no AppArmor",
                  named);
        error_hint(error,
                   "place it on machines that have AppArmor, or take it out of security_opt");
        return -ENOTSUP;
    }
    /* A list that can't be read (no securityfs) is no reason: then the kernel refuses by itself. */
    if (is_loaded(apparmor, named) == 0) {
        error_set(error, -ENOENT, "AppArmor's profile %s is not loaded on this machine", named);
        error_hint(error, "load it there: apparmor_parser -r FILE");
        return -ENOENT;
    }
    *ret = named;
    return 0;
}
