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

enum { PATH_BYTES = 96, NAME_BYTES = 300 };

static const char *in_scratch(const char *name)
{
    static char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/%s", scratch, name);
    return path;
}

static void write_file(const char *name, const uint8_t *data, size_t size)
{
    int fd = open(in_scratch(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert(fd >= 0);
    ssize_t written = size > 0 ? write(fd, data, size) : 0;
    assert(written == (ssize_t)size);
    close(fd);
}

static void clean_up(void)
{
    unlink(in_scratch("etc/passwd"));
    unlink(in_scratch("etc/group"));
    rmdir(in_scratch("etc"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[NAME_BYTES];
    struct user user;
    struct error error = {0};
    if (!scratch[0]) {
        scratch_make();
        atexit(clean_up); /* runs before scratch's own */
        mkdir(in_scratch("etc"), 0700);
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
    write_file("etc/passwd", passwd, passwd_size);
    write_file("etc/group", passwd_end ? passwd_end + 1 : passwd, group_size);
    if (user_resolve(scratch, name, &user, &error) == 0) {
        assert(user.group_count <= USER_GROUPS_MAX);
        assert(user.home[0] == '/' && memchr(user.home, '\0', sizeof(user.home)));
    } else {
        assert(error.code < 0 && error.message[0]);
    }
    return 0;
}
