#include "base/clock.h"

#include <assert.h>
#include <time.h>

int64_t clock_boot_ms(void)
{
    struct timespec now;
    int rc = clock_gettime(CLOCK_BOOTTIME, &now);
    assert(rc == 0); /* Linux has it since 2.6.39 */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
