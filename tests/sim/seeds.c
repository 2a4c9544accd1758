#include "tests/sim/seeds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int read_number(const char *text, char **ret_end, uint64_t *ret)
{
    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    *ret = strtoull(text, ret_end, 10);
    return errno ? -EINVAL : 0;
}

int seeds_parse(const char *text, struct seeds *ret)
{
    char *end;
    struct seeds seeds;
    if (read_number(text, &end, &seeds.first) < 0)
        return -EINVAL;
    seeds.last = seeds.first;
    if (strncmp(end, "..", 2) == 0 && read_number(end + 2, &end, &seeds.last) < 0)
        return -EINVAL;
    if (*end || seeds.last < seeds.first)
        return -EINVAL;
    *ret = seeds;
    return 0;
}

int seeds_parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret)
{
    char *end;
    uint64_t number;
    if (read_number(text, &end, &number) < 0 || *end || number < least || number > most)
        return -EINVAL;
    *ret = number;
    return 0;
}
