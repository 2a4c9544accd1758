#include "runtime/container_files.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "runtime/file.h"
#include "runtime/image/image_store.h"
#include "runtime/own_mounts.h"
#include "runtime/volume.h"

enum {
    SECRET_MODE_DEFAULT = 0444,
};

static void format_ip(uint32_t ip, char ret[INET_ADDRSTRLEN])
{
    struct in_addr in = {.s_addr = htonl(ip)};
    inet_ntop(AF_INET, &in, ret, INET_ADDRSTRLEN);
}

/* Gives a file to a user of the container. */
static int give(const struct oci_input *input, const char *path, uint32_t uid, uint32_t gid)
{
    uint32_t first_id = input->userns ? input->userns->first_id : 0;
    if (input->userns && (uid >= USERNS_IDS || gid >= USERNS_IDS))
        return -EOVERFLOW;
    return chown(path, first_id + uid, first_id + gid) < 0 ? -errno : 0;
}

static int write_named(const struct oci_input *input, const char *name,
                       const struct buffer *content)
{
    char path[PATH_BYTES];
    path_format(path, sizeof(path), "%s/%s", input->files_dir, name);
    int result = file_write(path, 0644, content->bytes, content->size);
    return result < 0 || !input->userns ? result : give(input, path, 0, 0);
}

/* "keyword word word", if there is any word. */
static int append_words(struct buffer *content, const char *keyword, const struct text_list *words)
{
    int result = words->count > 0 ? buffer_append_text(content, keyword) : 0;
    for (size_t i = 0; i < words->count && result == 0; i++)
        result = buffer_printf(content, " %s", words->items[i]);
    return result < 0 || words->count == 0 ? result : buffer_append_text(content, "\n");
}

/* Without a search list the C library would make one of what follows the dot in the host's name. */
static int append_search(struct buffer *content, const struct text_list *domains)
{
    return domains->count > 0 ? append_words(content, "search", domains)
                              : buffer_append_text(content, "search .\n");
}

static int write_resolv_conf(const struct oci_input *input, uint32_t gateway)
{
    cleanup_buffer struct buffer content;
    buffer_init(&content);
    char address[INET_ADDRSTRLEN];
    format_ip(gateway, address);
    int result = buffer_printf(&content, "nameserver %s\n",
                               input->spec->dns_server ? input->spec->dns_server : address);
    if (result == 0)
        result = append_search(&content, &input->spec->sandbox.dns_search);
    if (result == 0)
        result = append_words(&content, "options", &input->spec->sandbox.dns_options);
    return result < 0 ? result : write_named(input, "resolv.conf", &content);
}

/* The container's own name: an address in each of its networks, as with Docker. */
static int append_own_name(struct buffer *content, const char *hostname,
                           const struct network_ends *ends)
{
    char address[INET_ADDRSTRLEN];
    int result = ends->count > 0 ? 0 : buffer_printf(content, "127.0.0.1 %s\n", hostname);
    for (size_t i = 0; i < ends->count && result == 0; i++) {
        format_ip(ends->ips[i], address);
        result = buffer_printf(content, "%s %s\n", address, hostname);
    }
    return result;
}

static int write_hosts(const struct oci_input *input, const struct network_ends *ends,
                       uint32_t gateway)
{
    cleanup_buffer struct buffer content;
    buffer_init(&content);
    char gateway_text[INET_ADDRSTRLEN];
    format_ip(gateway, gateway_text);
    int result = buffer_append_text(&content, "127.0.0.1 localhost\n"
                                              "::1 localhost ip6-localhost ip6-loopback\n");
    if (result == 0)
        result = append_own_name(&content, input->hostname, ends);
    for (size_t i = 0; i < input->spec->extra_hosts.count && result == 0; i++) {
        const char *name = input->spec->extra_hosts.items[i];
        const char *value = strchr(name, '='); /* container_spec_check() saw to it */
        bool is_machine = strcmp(value + 1, "host-gateway") == 0;
        result = buffer_printf(&content, "%s %.*s\n", is_machine ? gateway_text : value + 1,
                               (int)(value - name), name);
    }
    return result < 0 ? result : write_named(input, "hosts", &content);
}

static int write_hostname(const struct oci_input *input)
{
    cleanup_buffer struct buffer content;
    buffer_init(&content);
    int result = buffer_printf(&content, "%s\n", input->hostname);
    return result < 0 ? result : write_named(input, "hostname", &content);
}

static int write_file_mount(const struct oci_input *input, const struct secrets *secrets,
                            size_t index)
{
    const struct container_mount *mount = &input->spec->mounts[index];
    char path[PATH_BYTES];
    assert(!mount->secret || secrets->items); /* secrets_open() sees to it */
    const struct buffer *content = mount->secret ? &secrets->items[index] : &mount->content;
    oci_file_mount_path(input, index, path, sizeof(path));
    mode_t mode = mount->mode ? mount->mode : SECRET_MODE_DEFAULT;
    int result = file_write(path, 0600, content->bytes, content->size);
    if (result == 0)
        result = give(input, path, mount->uid, mount->gid);
    return result == 0 && chmod(path, mode) < 0 ? -errno : result;
}

/* Makes the volume unless it is there, and mounts the part of it that is wanted. */
static int make_volume(const struct oci_input *input, size_t index, struct error *error)
{
    const struct container_mount *mount = &input->spec->mounts[index];
    char container_dir[PATH_BYTES];
    path_format(container_dir, sizeof(container_dir), "%s/..", input->rootfs);
    struct volume_use use = {.volumes_dir =
                                 mount->is_anonymous ? input->anonymous_dir : input->volumes_dir,
                             .name = mount->source,
                             .container_dir = container_dir,
                             .rootfs = input->rootfs,
                             .target = mount->target,
                             .is_empty = mount->is_empty || mount->subpath,
                             .first_id = input->userns ? input->userns->first_id : 0};
    char path[PATH_BYTES];
    int result = volume_make(&use);
    if (result < 0)
        return error_set_errno(error, result, "its volume");
    oci_volume_path(input, mount, path, sizeof(path));
    return mount->subpath ? own_mount_part(input->files_dir, index, path, mount->subpath, error)
                          : 0;
}

static void cleanup_image(struct image **image)
{
    image_free(*image);
}

static int make_image(const struct oci_input *input, size_t index, struct error *error)
{
    const struct container_mount *mount = &input->spec->mounts[index];
    __attribute__((cleanup(cleanup_image))) struct image *image = NULL;
    struct text_list layers = {0};
    struct digest digest;
    int result = digest_parse(mount->source, &digest); /* container_spec_check() saw to it */
    if (result < 0)
        return error_set_errno(error, result, "its image");
    result = image_store_load(input->images, &digest, &image, error);
    if (result == 0)
        result = image_store_unpack(input->images, image, &layers, error);
    if (result == 0)
        result =
            own_mount_image(input->files_dir, index, &layers, mount->subpath, input->userns, error);
    text_list_done(&layers);
    return result;
}

/* A folder of the machine's that is not there is made, as by Docker: but not in place of what the
 * image has as a file, for then a file of the operator's is not on this machine. */
static int make_bind(const struct oci_input *input, const struct container_mount *mount,
                     struct error *error)
{
    struct stat covered;
    if (access(mount->source, F_OK) == 0)
        return 0;
    int result = -ENOENT;
    if (errno == ENOENT && !mount->must_exist &&
        (user_stat_inside(input->rootfs, mount->target, &covered) < 0 || S_ISDIR(covered.st_mode)))
        result = file_make_directories(mount->source, 0755);
    return result < 0 ? error_set_errno(error, result, "its source") : 0;
}

static int make_mount(const struct oci_input *input, const struct secrets *secrets, size_t index,
                      struct error *error)
{
    const struct container_mount *mount = &input->spec->mounts[index];
    int result = 0;
    switch (mount->type) {
    case MOUNT_FILE:
        result = write_file_mount(input, secrets, index);
        return result < 0 ? error_set_errno(error, result, "its file") : 0;
    case MOUNT_VOLUME:
        return make_volume(input, index, error);
    case MOUNT_BIND:
        return make_bind(input, mount, error);
    case MOUNT_DEVICE:
        return own_mount_device(input->files_dir, index, mount, input->mount_timeout_ms, error);
    case MOUNT_IMAGE:
        return make_image(input, index, error);
    case MOUNT_TMPFS:
        break;
    }
    return result;
}

static int make_mounts(const struct oci_input *input, const struct secrets *secrets,
                       struct error *error)
{
    int in_memory = secrets->items ? secrets_mount(input->secrets_dir) : 0;
    if (in_memory < 0)
        return error_set_errno(error, in_memory, "cannot mount a tmpfs for secrets on %s",
                               input->secrets_dir);
    for (size_t i = 0; i < input->spec->mount_count; i++) {
        const struct container_mount *mount = &input->spec->mounts[i];
        int result = make_mount(input, secrets, i, error);
        if (result < 0) {
            error_prefix(error, "mount on %s from \"%s\"", mount->target,
                         mount->source ? mount->source : "");
            return result;
        }
    }
    return 0;
}

int container_files_write(const struct oci_input *input, const struct secrets *secrets,
                          const struct network_ends *ends, uint32_t gateway, struct error *error)
{
    int result = write_resolv_conf(input, gateway);
    if (result == 0)
        result = write_hosts(input, ends, gateway);
    if (result == 0)
        result = write_hostname(input);
    if (result < 0)
        return error_set_errno(error, result, "cannot write into %s", input->files_dir);
    return make_mounts(input, secrets, error);
}

int container_files_find_init(const char **ret, struct error *error)
{
    static const char *const paths[] = {
        "/usr/libexec/podman/catatonit", "/usr/bin/catatonit",  "/usr/bin/tini-static",
        "/usr/bin/docker-init",          "/usr/sbin/catatonit",
    };
    for (size_t i = 0; i < array_count(paths); i++) {
        if (access(paths[i], X_OK) == 0) {
            *ret = paths[i];
            return 0;
        }
    }
    error_set(error, -ENOENT, "no init is installed on this machine, which the service wants");
    error_hint(error, "install the package catatonit, or remove \"init: true\"");
    return -ENOENT;
}
