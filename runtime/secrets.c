#include "runtime/secrets.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { SECRETS_DIRECTORY_MODE = 0700 };

void secrets_wipe(struct secrets *secrets)
{
    for (size_t i = 0; i < secrets->count; i++) {
        struct buffer *item = &secrets->items[i];
        if (item->bytes)
            sodium_memzero(item->bytes, item->capacity);
        buffer_done(item);
    }
    free(secrets->items);
    *secrets = (struct secrets){0};
}

static bool has_secrets(const struct container_spec *spec)
{
    for (size_t i = 0; i < spec->mount_count; i++)
        if (spec->mounts[i].secret)
            return true;
    return false;
}

int secrets_open(const struct container_spec *spec, secret_source *source, void *context,
                 struct secrets *ret, struct error *error)
{
    struct secrets secrets = {0};
    int rc = 0;
    *ret = secrets;
    if (!has_secrets(spec))
        return 0;
    secrets.items = calloc(spec->mount_count, sizeof(*secrets.items));
    if (!secrets.items)
        return error_set_errno(error, -ENOMEM, "reading its secrets");
    secrets.count = spec->mount_count;
    for (size_t i = 0; i < spec->mount_count && rc == 0; i++) {
        const struct container_mount *mount = &spec->mounts[i];
        if (!mount->secret)
            continue;
        rc = source
                 ? source(context, mount->secret, mount->secret_version, &secrets.items[i], error)
                 : error_set(error, -ENOENT, "nobody knows the secret %s", mount->secret);
    }
    if (rc < 0)
        secrets_wipe(&secrets);
    else
        *ret = secrets;
    return rc;
}

int secrets_mount(const char *directory)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    secrets_unmount(directory);
    if (mkdir(directory, SECRETS_DIRECTORY_MODE) < 0 && errno != EEXIST)
        return -errno;
    if (mount("tmpfs", directory, "tmpfs", flags, "mode=0700,noswap") == 0 ||
        (errno == EINVAL && mount("tmpfs", directory, "tmpfs", flags, "mode=0700") == 0))
        return 0;
    return -errno;
}

void secrets_unmount(const char *directory)
{
    umount2(directory, MNT_DETACH | UMOUNT_NOFOLLOW);
}
