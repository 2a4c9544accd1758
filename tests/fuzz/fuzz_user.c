/* An image's own /etc/passwd and /etc/group. The input is who is asked for, a newline, the one
 * file, a NUL, and the other.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/user.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NAME_BYTES = 300 };

static void clean_up(void)
{
    unlink(scratch_path("etc/passwd"));
    unlink(scratch_path("etc/group"));
    rmdir(scratch_path("etc"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[NAME_BYTES];
    struct user user;
    struct error error = {0};
    if (!scratch[0]) {
        scratch_make();
        atexit(clean_up); /* runs before scratch's own */
        mkdir(scratch_path("etc"), 0700);
    }
    const uint8_t *line_end = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t length = line_end ? (size_t)(line_end - data) : size;
    if (length >= sizeof(name))
        return 0;
    if (length > 0)
        memcpy(name, data, length);
    name[length] = '\0';
    size_t used = line_end ? length + 1 : size, left = size - used;
    const uint8_t *passwd = data + used;
    const uint8_t *passwd_end = left > 0 ? memchr(passwd, '\0', left) : NULL;
    size_t passwd_size = passwd_end ? (size_t)(passwd_end - passwd) : left;
    size_t group_size = passwd_end ? left - passwd_size - 1 : 0;
    scratch_write("etc/passwd", passwd, passwd_size);
    scratch_write("etc/group", passwd_end ? passwd_end + 1 : passwd, group_size);
    if (user_resolve(scratch, name, &user, &error) == 0) {
        assert(user.group_count <= USER_GROUPS_MAX);
        assert(user.home[0] == '/' && memchr(user.home, '\0', sizeof(user.home)));
    } else {
        assert(error.code < 0 && error.message[0]);
    }
    return 0;
}
