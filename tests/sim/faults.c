#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "tests/sim/schedule.h"

static const struct {
    const char *name;
    unsigned faults;
} names[] = {
    {"loss", FAULT_LOSS},
    {"delay", FAULT_DELAY},
    {"duplicate", FAULT_DUPLICATE},
    {"reorder", FAULT_REORDER},
    {"partition", FAULT_PARTITION},
    {"pause", FAULT_PAUSE},
    {"crash", FAULT_CRASH},
    {"daemon", FAULT_DAEMON},
    {"disk", FAULT_DISK},
    {"clock", FAULT_CLOCK},
    {"container", FAULT_CONTAINER},
    {"churn", FAULT_CHURN},
    {"voters", FAULT_VOTERS},
    {"copy", FAULT_COPY},
    {"all", FAULT_ALL},
    {"none", 0},
};

int faults_parse(const char *text, unsigned *ret)
{
    unsigned faults = 0;
    while (*text) {
        size_t length = strcspn(text, ","), i = 0;
        while (i < array_count(names) &&
               (strlen(names[i].name) != length || strncmp(names[i].name, text, length) != 0))
            i++;
        if (i == array_count(names))
            return -EINVAL;
        faults |= names[i].faults;
        text += length + (text[length] == ',');
    }
    *ret = faults;
    return 0;
}

void faults_list(char *ret, size_t size)
{
    size_t used = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < array_count(names) && used < size; i++)
        used += (size_t)snprintf(ret + used, size - used, "%s%s", i ? "," : "", names[i].name);
}

static const char *const sabotages[SABOTAGE_COUNT] = {
    [SABOTAGE_NONE] = "nothing",
    [SABOTAGE_SEND_BEFORE_STORED] = "send-before-stored",
    [SABOTAGE_LOSE_SYNCED] = "lose-synced",
    [SABOTAGE_GRANT_VOTES] = "grant-votes",
    [SABOTAGE_COMMIT_EARLY] = "commit-early",
    [SABOTAGE_IGNORE_LEASE] = "ignore-lease",
    [SABOTAGE_NEVER_STOP] = "never-stop",
    [SABOTAGE_READ_LOCAL] = "read-local",
    [SABOTAGE_FORGET_FED] = "forget-fed",
};

int sabotage_parse(const char *text, enum sabotage *ret)
{
    for (size_t i = 0; i < SABOTAGE_COUNT; i++) {
        if (strcmp(sabotages[i], text) != 0)
            continue;
        *ret = (enum sabotage)i;
        return 0;
    }
    return -EINVAL;
}

void sabotage_list(char *ret, size_t size)
{
    size_t used = 0;
    ret[0] = '\0';
    for (size_t i = 1; i < SABOTAGE_COUNT && used < size; i++)
        used += (size_t)snprintf(ret + used, size - used, "%s%s", i > 1 ? "," : "", sabotages[i]);
}
