/* consort cp */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/cli/options.h"
#include "node/cli/session.h"
#include "runtime/copy_files.h"

/* One end of a copy: a file here, "-" for an archive on standard input or output, or a path in a
 * replica. */
struct place {
    char replica[256]; /* "" here */
    char path[PATH_MAX];
};

/* The half of a copy that is done here, on a thread, while the session passes the archive on. */
struct half {
    uv_thread_t thread;
    int root_fd, archive_fd;
    const char *path;
    bool goes_in;
    struct error error;
};

/* "web.1:/etc/motd"; what begins with a slash or a dot is a path here, whatever is in it. */
static int parse_place(const char *text, struct place *ret)
{
    const char *colon = text[0] == '/' || text[0] == '.' ? NULL : strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    const char *path = colon ? colon + 1 : text;
    if (length >= sizeof(ret->replica) || !*path || strlen(path) + 1 >= sizeof(ret->path))
        return -EINVAL;
    memcpy(ret->replica, text, length);
    ret->replica[length] = '\0';
    bool is_relative = colon && path[0] != '/'; /* as Docker has it, from the root */
    snprintf(ret->path, sizeof(ret->path), "%s%s", is_relative ? "/" : "", path);
    return 0;
}

/* copy_files.h takes paths from the root on. */
static int make_absolute(struct place *place)
{
    char absolute[PATH_MAX], directory[PATH_MAX];
    if (place->path[0] == '/')
        return 0;
    if (!getcwd(directory, sizeof(directory)))
        return -errno;
    if (snprintf(absolute, sizeof(absolute), "%s/%s", directory, place->path) >=
        (int)sizeof(absolute))
        return -ENAMETOOLONG;
    memcpy(place->path, absolute, sizeof(absolute));
    return 0;
}

static void run_half(void *context)
{
    struct half *half = context;
    if (half->goes_in)
        copy_files_in(half->root_fd, half->path, half->archive_fd, &half->error);
    else
        copy_files_out(half->root_fd, half->path, half->archive_fd, &half->error);
    close(half->archive_fd);
}

/* Begins it; `*ret_fd` is where the session reads the archive, or writes it. */
static int begin_half(struct half *half, const struct place *place, bool goes_in, int *ret_fd,
                      struct error *error)
{
    int ends[2];
    *half = (struct half){.path = place->path, .goes_in = goes_in};
    half->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (half->root_fd < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(error, -errno, "copying %s", place->path);
    half->archive_fd = ends[goes_in ? 0 : 1];
    *ret_fd = ends[goes_in ? 1 : 0];
    int rc = uv_thread_create(&half->thread, run_half, half);
    if (rc == 0)
        return 0;
    close(ends[0]);
    close(ends[1]);
    return error_set_errno(error, rc, "copying %s", place->path);
}

/* What failed at one end is why the other fails, too: of an archive that was cut off the sender
 * knows why; a sender to whom nobody listens any more does not. */
static int end_half(struct half *half, int rc, struct error *error)
{
    uv_thread_join(&half->thread);
    close(half->root_fd);
    bool is_told_there = rc < 0 && (half->goes_in || half->error.code == -EPIPE);
    if (half->error.code == 0 || is_told_there)
        return rc;
    *error = half->error;
    return error->code;
}

static int call(const struct cli *cli, const char *method, const struct place *place,
                const struct session_options *options, struct error *error)
{
    struct client *client = NULL;
    int rc = client_open(cli, &client, error);
    if (rc == 0)
        rc = session_run(client, method,
                         json_pack("{s:s, s:s}", "replica", place->replica, "path", place->path),
                         options, NULL, error);
    client_close(client);
    return rc;
}

static int copy_out(const struct cli *cli, const struct place *from, const struct place *to,
                    struct error *error)
{
    struct session_options options = {0};
    struct half half;
    int fd;
    if (strcmp(to->path, "-") == 0)
        return call(cli, "copy.out", from, &options, error);
    int rc = begin_half(&half, to, true, &fd, error);
    if (rc < 0)
        return rc;
    options.output = fdopen(fd, "w");
    rc = options.output ? call(cli, "copy.out", from, &options, error)
                        : error_set_errno(error, -errno, "copying to %s", to->path);
    if (options.output)
        fclose(options.output);
    else
        close(fd);
    return end_half(&half, rc, error);
}

static int copy_in(const struct cli *cli, const struct place *from, const struct place *to,
                   struct error *error)
{
    struct session_options options = {.interactive = true, .input_fd = STDIN_FILENO};
    struct half half;
    if (strcmp(from->path, "-") == 0)
        return call(cli, "copy.in", to, &options, error);
    int rc = begin_half(&half, from, false, &options.input_fd, error);
    if (rc < 0)
        return rc;
    rc = call(cli, "copy.in", to, &options, error);
    close(options.input_fd);
    return end_half(&half, rc, error);
}

int verb_cp(struct cli *cli, int argc, char **argv)
{
    struct place from, to;
    struct error error = {0};
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 2 || parse_place(argv[0], &from) < 0 || parse_place(argv[1], &to) < 0)
        return cli_usage(cli,
                         "a source and a destination are expected, one of them as REPLICA:PATH");
    if (!from.replica[0] == !to.replica[0])
        return cli_usage(cli, "one of both must be in a replica, and the other here");
    struct place *here = from.replica[0] ? &to : &from;
    rc = strcmp(here->path, "-") == 0 ? 0 : make_absolute(here);
    if (rc < 0)
        error_set_errno(&error, rc, "%s", here->path);
    else if (from.replica[0])
        rc = copy_out(cli, &from, &to, &error);
    else
        rc = copy_in(cli, &from, &to, &error);
    return rc < 0 ? cli_fail(&error) : CLI_OK;
}
