#include "runtime/user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "runtime/file.h"

enum {
    PASSWD_FIELDS = 7, /* name:password:uid:gid:comment:home:shell */
    GROUP_FIELDS = 4,  /* name:password:gid:members */
};

/* Opens a path below `rootfs`, whatever links are on the way. */
static int open_below(const char *rootfs, const char *path, uint64_t flags, int *ret_fd)
{
    cleanup_close int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    return file_open_inside(root, path, flags, ret_fd);
}

int user_stat_inside(const char *rootfs, const char *path, struct stat *ret)
{
    cleanup_close int fd = -1;
    int result = open_below(rootfs, path, O_PATH, &fd);
    if (result < 0)
        return result;
    return fstat(fd, ret) < 0 ? -errno : 0;
}

static int open_regular(const char *rootfs, const char *path, int *ret_fd)
{
    cleanup_close int fd = -1;
    int result = open_below(rootfs, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &fd);
    if (result < 0)
        return result;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    *ret_fd = take_fd(fd);
    return 0;
}

/* Reads a file of the image as text; a file that is not there is empty. */
static int read_inside(const char *rootfs, const char *path, char **ret)
{
    cleanup_buffer struct buffer content;
    buffer_init(&content);
    cleanup_close int fd = -1;
    int result = open_regular(rootfs, path, &fd);
    while (result == 0) {
        char chunk[4096];
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        if (content.size + (size_t)got > USER_FILE_BYTES_MAX)
            return -EFBIG;
        result = buffer_append(&content, chunk, (size_t)got);
    }
    if (result < 0 && result != -ENOENT)
        return result;
    *ret = buffer_take_text(&content);
    return *ret ? 0 : -ENOMEM;
}

/* Cuts the next line off `*at` and splits it at colons; false at the end. Lines with fewer fields
 * are passed over. */
static bool next_entry(char **at, char **fields, int count)
{
    char *line;
    while ((line = strsep(at, "\n")) != NULL) {
        int found = 0;
        while (found < count && (fields[found] = strsep(&line, ":")) != NULL)
            found++;
        if (found == count)
            return true;
    }
    return false;
}

static bool parse_number(const char *text, uint32_t *ret)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value >= UINT32_MAX)
        return false;
    *ret = (uint32_t)value;
    return true;
}

static int find_user(const char *rootfs, const char *name, struct user *user, char *ret_login,
                     size_t login_capacity)
{
    cleanup_free char *text = NULL;
    int result = read_inside(rootfs, "/etc/passwd", &text);
    if (result < 0)
        return result;
    uint32_t wanted = 0;
    bool numeric = parse_number(name, &wanted);
    char *fields[PASSWD_FIELDS];
    for (char *at = text; next_entry(&at, fields, PASSWD_FIELDS);) {
        uint32_t uid, gid;
        if (!parse_number(fields[2], &uid) || !parse_number(fields[3], &gid))
            continue;
        if (numeric ? uid != wanted : strcmp(fields[0], name) != 0)
            continue;
        user->uid = uid;
        user->gid = gid;
        snprintf(user->home, sizeof(user->home), "%s", fields[5][0] == '/' ? fields[5] : "/");
        snprintf(ret_login, login_capacity, "%s", fields[0]);
        return 0;
    }
    if (!numeric)
        return -ENOENT;
    user->uid = wanted;
    user->gid = 0;
    return 0;
}

static int find_group(const char *rootfs, const char *name, gid_t *ret)
{
    uint32_t number;
    if (parse_number(name, &number)) {
        *ret = number;
        return 0;
    }
    cleanup_free char *text = NULL;
    int result = read_inside(rootfs, "/etc/group", &text);
    if (result < 0)
        return result;
    char *fields[GROUP_FIELDS];
    for (char *at = text; next_entry(&at, fields, GROUP_FIELDS);) {
        if (strcmp(fields[0], name) == 0 && parse_number(fields[2], &number)) {
            *ret = number;
            return 0;
        }
    }
    return -ENOENT;
}

static bool is_member(char *members, const char *login)
{
    for (char *member; (member = strsep(&members, ",")) != NULL;)
        if (strcmp(member, login) == 0)
            return true;
    return false;
}

static int find_memberships(const char *rootfs, const char *login, struct user *user)
{
    cleanup_free char *text = NULL;
    int result = read_inside(rootfs, "/etc/group", &text);
    if (result < 0)
        return result;
    char *fields[GROUP_FIELDS];
    for (char *at = text; next_entry(&at, fields, GROUP_FIELDS);) {
        uint32_t gid;
        if (user->group_count == USER_GROUPS_MAX)
            break;
        if (parse_number(fields[2], &gid) && gid != user->gid && is_member(fields[3], login))
            user->groups[user->group_count++] = gid;
    }
    return 0;
}

static bool has_group(const struct user *user, gid_t group)
{
    for (size_t i = 0; i < user->group_count; i++)
        if (user->groups[i] == group)
            return true;
    return false;
}

int user_add_groups(const char *rootfs, const struct text_list *groups, struct user *user,
                    struct error *error)
{
    for (size_t i = 0; i < groups->count; i++) {
        gid_t group = 0;
        int result = find_group(rootfs, groups->items[i], &group);
        if (result < 0)
            return error_set_errno(error, result, "group \"%s\" in the image's /etc/group",
                                   groups->items[i]);
        if (has_group(user, group))
            continue;
        if (user->group_count == USER_GROUPS_MAX)
            return error_set(error, -E2BIG, "more than %d groups", USER_GROUPS_MAX);
        user->groups[user->group_count++] = group;
    }
    return 0;
}

int user_resolve(const char *rootfs, const char *text, struct user *ret, struct error *error)
{
    struct user user = {.home = "/"};
    char name[USER_HOME_BYTES], login[USER_HOME_BYTES] = "";
    if ((size_t)snprintf(name, sizeof(name), "%s", *text ? text : "0") >= sizeof(name))
        return error_set(error, -EINVAL, "the user's name is too long");
    char *group = strchr(name, ':');
    if (group)
        *group++ = '\0';
    int result = find_user(rootfs, name, &user, login, sizeof(login));
    if (result < 0)
        return error_set_errno(error, result, "user \"%s\" in the image's /etc/passwd", name);
    if (group && *group) {
        result = find_group(rootfs, group, &user.gid);
        if (result < 0)
            return error_set_errno(error, result, "group \"%s\" in the image's /etc/group", group);
    }
    if (*login) {
        result = find_memberships(rootfs, login, &user);
        if (result < 0)
            return error_set_errno(error, result, "the image's /etc/group");
    }
    *ret = user;
    return 0;
}
