#include "runtime/image/layer_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int layer_path_parse(const char *text, struct layer_path *ret)
{
    size_t used = 0, last = 0;
    int depth = 0;
    while (*text) {
        size_t size = strcspn(text, "/");
        bool stays = size == 0 || (size == 1 && text[0] == '.');
        if ((size == 2 && text[0] == '.' && text[1] == '.') || size > NAME_MAX)
            return -EBADMSG;
        if (!stays) {
            if (++depth > LAYER_DEPTH_MAX || size + 2 > sizeof(ret->text) - used)
                return -E2BIG;
            if (used > 0)
                ret->text[used++] = '/';
            last = used;
            memcpy(ret->text + used, text, size);
            used += size;
        }
        text += size;
        text += strspn(text, "/");
    }
    ret->text[used] = '\0';
    ret->name = ret->text + last;
    size_t parent = last > 0 ? last - 1 : 0;
    memcpy(ret->parent, ret->text, parent);
    ret->parent[parent] = '\0';
    return 0;
}

bool layer_path_passes(const struct layer_path *path, const char *prefix)
{
    size_t size = strlen(prefix);
    const char *component = path->parent;
    while (component) {
        if (strncmp(component, prefix, size) == 0)
            return true;
        component = strchr(component, '/');
        if (component)
            component++;
    }
    return false;
}

int layer_open_directory(int layer_fd, const char *path, int *ret_fd)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    long fd = syscall(SYS_openat2, layer_fd, *path ? path : ".", &how, sizeof(how));
    if (fd < 0)
        return -errno;
    *ret_fd = (int)fd;
    return 0;
}
