#include "runtime/own_mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/file.h"
#include "runtime/process.h"
#include "runtime/rootfs.h"

bool own_mount_is_wanted(const struct container_mount *mount)
{
    return mount->type == MOUNT_DEVICE || mount->type == MOUNT_IMAGE || mount->subpath;
}

void own_mount_path(const char *bundle_dir, size_t index, char *ret)
{
    path_format(ret, PATH_BYTES, "%s/mounts/%zu", bundle_dir, index);
}

/* What something can be mounted on: a folder, or a file for a file. */
static int make_place(const char *bundle_dir, size_t index, bool is_folder, char *ret)
{
    own_mount_path(bundle_dir, index, ret);
    char directory[PATH_BYTES];
    path_format(directory, sizeof(directory), "%s/mounts", bundle_dir);
    int result = file_make_directories(directory, 0700);
    if (result < 0)
        return result;
    if (!is_folder)
        return file_write(ret, 0600, "", 0);
    return mkdir(ret, 0700) < 0 ? -errno : 0;
}

int own_mount_part(const char *bundle_dir, size_t index, const char *volume, const char *path,
                   struct error *error)
{
    char place[PATH_BYTES], found_path[64];
    struct stat status;
    cleanup_close int root = open(volume, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int found = -1;
    int result = root < 0 ? -errno : file_open_inside(root, path, O_PATH, &found);
    if (result < 0)
        return error_set_errno(error, result, "\"%s\" in what is mounted", path);
    if (fstat(found, &status) < 0)
        return error_set_errno(error, -errno, "\"%s\" in what is mounted", path);
    result = make_place(bundle_dir, index, S_ISDIR(status.st_mode), place);
    snprintf(found_path, sizeof(found_path), "/proc/self/fd/%d", found);
    if (result == 0 && mount(found_path, place, NULL, MS_BIND, NULL) < 0)
        result = -errno;
    return result < 0 ? error_set_errno(error, result, "mounting \"%s\"", path) : 0;
}

int own_mount_image(const char *bundle_dir, size_t index, const struct text_list *layers,
                    const char *path, const struct userns *userns, struct error *error)
{
    char place[PATH_BYTES], directory[PATH_BYTES], whole[PATH_BYTES];
    path_format(directory, sizeof(directory), "%s/mounts", bundle_dir);
    own_mount_path(bundle_dir, index, place);
    path_format(whole, sizeof(whole), "%s%s", place, path ? ".whole" : "");
    int result = file_make_directories(whole, 0700);
    if (result < 0)
        return error_set_errno(error, result, "cannot make a place to mount on");
    result = rootfs_mount_image(directory, layers, userns, whole, error);
    return result == 0 && path ? own_mount_part(bundle_dir, index, whole, path, error) : result;
}

/* By mount(8), whose helpers know what each kind of file system wants (a server's address, its
 * versions), and in a process of its own, for one that waits for a server can be given up. */
int own_mount_device(const char *bundle_dir, size_t index, const struct container_mount *mount,
                     int timeout_ms, struct error *error)
{
    char place[PATH_BYTES];
    cleanup_buffer struct buffer output;
    buffer_init(&output);
    int result = make_place(bundle_dir, index, true, place);
    if (result < 0)
        return error_set_errno(error, result, "cannot make a place to mount on");
    const char *options = mount->fs_options ? mount->fs_options : "defaults";
    const char *const argv[] = {"mount", "-t",          mount->fs_type, "-o", options,
                                "--",    mount->source, place,          NULL};
    int code = process_run(argv, timeout_ms, &output);
    cleanup_free char *words = buffer_take_text(&output);
    if (code == 0)
        return 0;
    if (code == -ETIMEDOUT)
        error_set(error, code, "mounting %s (%s) did not end within %d s: does its server answer?",
                  mount->source, mount->fs_type, timeout_ms / 1000);
    else if (code < 0)
        error_set_errno(error, code, "cannot run mount");
    else
        error_set(error, -EIO, "mounting %s (%s): %.*s", mount->source, mount->fs_type,
                  words ? (int)strcspn(words, "\n") : 0, words ? words : "");
    return code < 0 ? code : -EIO;
}

void own_mounts_undo(const char *bundle_dir)
{
    char path[PATH_BYTES];
    path_format(path, sizeof(path), "%s/mounts", bundle_dir);
    DIR *directory = opendir(path);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        path_format(path, sizeof(path), "%s/mounts/%s", bundle_dir, entry->d_name);
        umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
    }
    closedir(directory);
}
