/* consort image save */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/reader.h"
#include "node/cli/client.h"
#include "node/cli/options.h"

struct save {
    int fd;
    int error; /* the first */
};

static void on_note(void *context, const char *kind, struct bytes payload)
{
    struct save *save = context;
    struct reader reader;
    struct bytes data;
    reader_init(&reader, payload.data, payload.size);
    if (strcmp(kind, "data") != 0 || reader_binary(&reader, &data) < 0)
        return;
    while (data.size > 0 && save->error == 0) {
        ssize_t written = write(save->fd, data.data, data.size);
        if (written < 0 && errno != EINTR)
            save->error = -errno;
        if (written > 0)
            data = (struct bytes){data.data + written, data.size - (size_t)written};
    }
}

static int run(const struct cli *cli, struct save *save, const char *name, struct error *error)
{
    static const struct client_handler handler = {.on_note = on_note};
    struct client *client = NULL;
    json_t *result = NULL;
    int rc = client_open(cli, &client, error);
    if (rc == 0)
        rc = client_call_json(client, "image.save", json_pack("{s:s}", "reference", name), &handler,
                              save, &result, error);
    client_close(client);
    json_decref(result);
    return rc;
}

/* Writes beside the file, and takes its place at the end: half an archive is none. */
static int save_to_file(const struct cli *cli, const char *name, const char *path,
                        struct error *error)
{
    char temporary[PATH_MAX];
    struct save save = {0};
    if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
        return error_set_errno(error, -ENAMETOOLONG, "writing %s", path);
    save.fd = mkostemp(temporary, O_CLOEXEC);
    if (save.fd < 0)
        return error_set_errno(error, -errno, "writing %s", path);
    int rc = run(cli, &save, name, error);
    mode_t mask = umask(0);
    umask(mask);
    if (rc == 0 && save.error == 0 && fchmod(save.fd, 0666 & ~mask) < 0)
        save.error = -errno;
    if (close(save.fd) < 0 && save.error == 0)
        save.error = -errno;
    if (rc == 0 && save.error == 0 && rename(temporary, path) < 0)
        save.error = -errno;
    if (rc == 0 && save.error < 0)
        rc = error_set_errno(error, save.error, "writing %s", path);
    if (rc < 0)
        unlink(temporary);
    return rc;
}

int verb_image_save(struct cli *cli, int argc, char **argv)
{
    struct error error = {0};
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc < 1 || argc > 2)
        return cli_usage(cli, "an image and perhaps a file are expected");
    bool is_output = argc == 1 || strcmp(argv[1], "-") == 0;
    if (is_output && isatty(STDOUT_FILENO))
        return cli_usage(cli, "an archive is nothing for a terminal: name a file, or redirect");
    if (is_output) {
        struct save save = {.fd = STDOUT_FILENO};
        rc = run(cli, &save, argv[0], &error);
        if (rc == 0 && save.error < 0)
            rc = error_set_errno(&error, save.error, "writing the archive");
    } else {
        rc = save_to_file(cli, argv[0], argv[1], &error);
    }
    return rc < 0 ? cli_fail(&error) : CLI_OK;
}
