#include "runtime/capability.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>

#include "base/cleanup.h"
#include "runtime/file.h"

/* By number, as in linux/capability.h. */
static const char *const names[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

static const char *const defaults[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",     "CAP_FSETID",
    "CAP_KILL",    "CAP_SETGID",           "CAP_SETUID",     "CAP_SETPCAP",
    "CAP_SETFCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
};

int capability_parse(const char *name, int *ret_number)
{
    static const char prefix[] = "CAP_";
    if (strncasecmp(name, prefix, sizeof(prefix) - 1) == 0)
        name += sizeof(prefix) - 1;
    for (size_t i = 0; i < array_count(names); i++) {
        if (strcasecmp(name, names[i] + sizeof(prefix) - 1) == 0) {
            *ret_number = (int)i;
            return 0;
        }
    }
    return -EINVAL;
}

bool capability_has(uint64_t set, const char *name)
{
    int number;
    return capability_parse(name, &number) == 0 && (set >> number & 1) != 0;
}

uint64_t capability_defaults(void)
{
    uint64_t set = 0;
    for (size_t i = 0; i < array_count(defaults); i++) {
        int number;
        if (capability_parse(defaults[i], &number) == 0)
            set |= UINT64_C(1) << number;
    }
    return set;
}

/* An older kernel than our table refuses to set what it does not know. */
static uint64_t all_of_kernel(void)
{
    uint64_t last = array_count(names) - 1;
    uint64_t known;
    if (file_read_u64("/proc/sys/kernel/cap_last_cap", &known) == 0 && known < last)
        last = known;
    return (UINT64_C(2) << last) - 1;
}

/* In a container ourselves, we may not have all, and cannot give what we have not. */
static uint64_t our_own(void)
{
    uint64_t set = 0;
    for (unsigned long number = 0; number < array_count(names); number++)
        if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1)
            set |= UINT64_C(1) << number;
    return set;
}

static int parse_list(const struct text_list *list, uint64_t *ret_named, bool *ret_all,
                      struct error *error)
{
    uint64_t named = 0;
    bool all = false;
    for (size_t i = 0; i < list->count; i++) {
        int number;
        if (strcasecmp(list->items[i], "ALL") == 0)
            all = true;
        else if (capability_parse(list->items[i], &number) == 0)
            named |= UINT64_C(1) << number;
        else
            return error_set(error, -EINVAL, "there is no capability \"%s\"", list->items[i]);
    }
    *ret_named = named;
    *ret_all = all;
    return 0;
}

int capability_resolve(const struct text_list *add, const struct text_list *drop, uint64_t *ret,
                       struct error *error)
{
    uint64_t added = 0, dropped = 0;
    bool add_all = false, drop_all = false;
    int result = parse_list(add, &added, &add_all, error);
    if (result == 0)
        result = parse_list(drop, &dropped, &drop_all, error);
    if (result < 0)
        return result;
    uint64_t set = capability_defaults();
    if (drop_all)
        set = 0;
    else if (add_all)
        set = all_of_kernel() & our_own();
    *ret = (set | (added & all_of_kernel())) & ~dropped;
    return 0;
}

json_t *capability_json(uint64_t set)
{
    json_t *list = json_array();
    for (size_t i = 0; i < array_count(names); i++)
        if (set >> i & 1)
            json_array_append_new(list, json_string(names[i]));
    return list;
}
