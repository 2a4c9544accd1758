/* consort image import, pull, ls, rm */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/reader.h"
#include "base/writer.h"
#include "node/cli/bounds.h"
#include "node/cli/client.h"
#include "node/cli/image.h"
#include "node/cli/list.h"
#include "node/cli/options.h"

struct import {
    struct client *client;
    int fd;
    uint64_t size, sent, taken;
    bool has_ended;
    int error;
};

static void show_progress(const struct import *import)
{
    if (isatty(STDERR_FILENO) && import->size > 0)
        fprintf(stderr, "\r%3llu%%%s", (unsigned long long)(100 * import->taken / import->size),
                import->taken == import->size ? "\n" : "");
}

/* Sends until the peer has enough to do. */
static void send_more(struct import *import)
{
    static uint8_t chunk[CLI_IMPORT_CHUNK_BYTES];
    while (!import->has_ended && import->sent - import->taken < CLI_IMPORT_AHEAD_BYTES) {
        cleanup_buffer struct buffer payload = {0};
        struct writer writer;
        ssize_t size = read(import->fd, chunk, sizeof(chunk));
        if (size <= 0) {
            import->error = size < 0 ? -errno : 0;
            import->has_ended = true;
            client_note(import->client, size < 0 ? "cancel" : "end", (struct bytes){0});
            return;
        }
        writer_init(&writer, &payload);
        writer_binary(&writer, chunk, (size_t)size);
        import->sent += (uint64_t)size;
        if (client_note(import->client, "data", buffer_view(&payload)) < 0)
            return;
    }
}

static void on_note(void *context, const char *kind, struct bytes payload)
{
    struct import *import = context;
    struct reader reader;
    reader_init(&reader, payload.data, payload.size);
    if (strcmp(kind, "taken") != 0 || reader_u64(&reader, &import->taken) < 0)
        return;
    show_progress(import);
    send_more(import);
}

static int run(const struct cli *cli, struct import *import, const char *name, json_t **ret,
               struct error *error)
{
    static const struct client_handler handler = {.on_note = on_note};
    cleanup_buffer struct buffer params = {0};
    json_t *map = name ? json_pack("{s:s}", "reference", name) : json_object();
    int rc = json_to_packed(map, &params);
    json_decref(map);
    if (rc == 0)
        rc = client_open(cli, &import->client, error);
    if (rc == 0) {
        rc = client_begin(import->client, "image.import", buffer_view(&params), &handler, import);
        if (rc == 0) {
            send_more(import);
            rc = client_finish(import->client, ret, error);
        }
    }
    client_close(import->client);
    if (import->error < 0)
        return error_set_errno(error, import->error, "reading the archive");
    return rc;
}

/* A layout's folder goes as the archive that it would be: tar, which every machine has, packs it.
 */
static int pack_layout(int directory_fd, int *ret_fd, pid_t *ret_child)
{
    int ends[2];
    if (faccessat(directory_fd, "oci-layout", F_OK, 0) < 0)
        return -EISDIR;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t child = fork();
    if (child == 0) {
        if (fchdir(directory_fd) == 0 && dup2(ends[1], STDOUT_FILENO) >= 0)
            execlp("tar", "tar", "-cf", "-", "oci-layout", "index.json", "blobs", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return -EAGAIN;
    }
    *ret_fd = ends[0];
    *ret_child = child;
    return 0;
}

/* Opens an archive, or a layout's folder as one. */
static int open_archive(const char *path, int *ret_fd, pid_t *ret_child, struct error *error)
{
    struct stat about;
    cleanup_close int fd =
        strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) < 0)
        return error_set_errno(error, -errno, "opening %s", path);
    if (!S_ISDIR(about.st_mode)) {
        *ret_fd = take_fd(fd);
        return 0;
    }
    int rc = pack_layout(fd, ret_fd, ret_child);
    if (rc == -EISDIR)
        return error_set(error, rc, "%s is a folder, and no OCI layout", path);
    return rc < 0 ? error_set_errno(error, rc, "packing %s", path) : 0;
}

int verb_image_import(struct cli *cli, int argc, char **argv)
{
    struct import import = {0};
    struct error error = {0};
    struct stat about;
    json_t *result = NULL;
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc < 1 || argc > 2)
        return cli_usage(cli, "an archive and perhaps a name are expected");
    cleanup_close int fd = -1;
    pid_t child = 0;
    int status = 0;
    if (open_archive(argv[0], &fd, &child, &error) < 0)
        return cli_fail(&error);
    import.fd = fd;
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode))
        import.size = (uint64_t)about.st_size;
    rc = run(cli, &import, argc > 1 ? argv[1] : NULL, &result, &error);
    close(take_fd(fd)); /* a tar that still writes ends by it */
    if (child > 0 && waitpid(child, &status, 0) == child && rc == 0 && status != 0)
        rc = error_set(&error, -EIO, "tar could not read all of it");
    if (rc < 0) {
        error_prefix(&error, "importing %s", argv[0]);
        return cli_fail(&error);
    }
    const json_t *images = json_object_get(result, "images");
    if (cli->format == CLI_JSON)
        output_json(images);
    for (size_t i = 0; cli->format == CLI_TEXT && i < json_array_size(images); i++)
        printf("%s %s\n", json_text(json_array_get(images, i), "reference"),
               json_text(json_array_get(images, i), "digest"));
    json_decref(result);
    return CLI_OK;
}

static void on_pull_note(void *context, const char *kind, struct bytes payload)
{
    const char *name = context;
    struct reader reader;
    uint64_t done = 0, total = 0;
    reader_init(&reader, payload.data, payload.size);
    reader_array_exact(&reader, 2);
    reader_u64(&reader, &done);
    reader_u64(&reader, &total);
    if (strcmp(kind, "progress") == 0 && reader_check(&reader) == 0 && isatty(STDERR_FILENO))
        fprintf(stderr, "\r%s: %llu of %llu MB ", name, (unsigned long long)done / 1000000,
                (unsigned long long)total / 1000000);
}

int image_pull(const struct cli *cli, const char *name, json_t **ret, struct error *error)
{
    static const struct client_handler handler = {.on_note = on_pull_note};
    struct client *client = NULL;
    int rc = client_open(cli, &client, error);
    if (rc == 0)
        rc = client_call_json(client, "image.pull", json_pack("{s:s}", "reference", name), &handler,
                              (void *)(uintptr_t)name, ret, error);
    client_close(client);
    if (isatty(STDERR_FILENO))
        fputs("\r\x1b[K", stderr);
    return rc;
}

int verb_image_pull(struct cli *cli, int argc, char **argv)
{
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc == 0)
        return cli_usage(cli, "which image?");
    for (int i = 0; i < argc; i++) {
        struct error error = {0};
        json_t *result = NULL;
        if (image_pull(cli, argv[i], &result, &error) < 0)
            return cli_fail(&error);
        if (cli->format == CLI_JSON)
            output_json(result);
        else
            printf("%s %s\n", json_text(result, "reference"), json_text(result, "digest"));
        json_decref(result);
    }
    return CLI_OK;
}

static void cell_created(const json_t *row, const char *key, char *ret)
{
    json_t *wall = json_pack("{s:I}", "ms", json_number(row, key) * 1000);
    if (json_number(row, key) == 0)
        ret[0] = '\0';
    else
        cell_since(wall, "ms", ret);
    json_decref(wall);
}

int verb_image_ls(struct cli *cli, int argc, char **argv)
{
    static const struct column columns[] = {{"IMAGE", "reference", NULL},
                                            {"DIGEST", "digest", NULL},
                                            {"SIZE", "size_bytes", cell_size},
                                            {"CREATED", "created_wall_s", cell_created},
                                            {"PEERS", "peers", NULL}};
    return list_verb(cli, argc, argv, "image.ls", "images", columns, array_count(columns));
}

int verb_image_rm(struct cli *cli, int argc, char **argv)
{
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc == 0)
        return cli_usage(cli, "which image?");
    rc = CLI_OK;
    for (int i = 0; i < argc && rc == CLI_OK; i++)
        rc = cli_do(cli, "image.rm", json_pack("{s:s}", "reference", argv[i]), say_done);
    return rc;
}
