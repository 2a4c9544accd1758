/* consort pull-worker IMAGES REGISTRIES NAME: the child of a peer that pulls one image; see
 * node/images/pull.c for what it prints. Not for people. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "node/cli/cli.h"
#include "runtime/registry/http.h"
#include "runtime/registry/pull.h"

enum {
    PROGRESS_MS = 200,
};

/* Where `docker login` keeps logins, for whoever runs the peer. */
static const char *docker_config_path(char ret[PATH_MAX])
{
    const char *directory = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
    const struct passwd *user = home ? NULL : getpwuid(getuid());
    if (user)
        home = user->pw_dir;
    int size = directory ? snprintf(ret, PATH_MAX, "%s/config.json", directory)
               : home    ? snprintf(ret, PATH_MAX, "%s/.docker/config.json", home)
                         : PATH_MAX;
    return size < PATH_MAX ? ret : NULL;
}

static void print_progress(void *context, int64_t done_bytes, int64_t total_bytes)
{
    int64_t *next_ms = context, now_ms = clock_boot_ms();
    if (now_ms < *next_ms && done_bytes < total_bytes)
        return;
    *next_ms = now_ms + PROGRESS_MS;
    printf("progress %" PRId64 " %" PRId64 "\n", done_bytes, total_bytes);
    fflush(stdout);
}

/* Tells the peer what it may look for at others, and waits until it closes our input. */
static void ask_peers(void *context, const struct digest *image)
{
    char text[DIGEST_TEXT_BYTES], ignored[64];
    (void)context;
    digest_format(image, text);
    printf("missing %s\n", text);
    fflush(stdout);
    while (fgets(ignored, sizeof(ignored), stdin))
        ;
}

/* Words may come from a registry: a line is a line. */
static void print_text(const char *text)
{
    for (; *text; text++)
        putchar((unsigned char)*text < ' ' ? ' ' : *text);
}

static int pull(char **argv)
{
    struct error error = {0};
    struct blob_store *blobs = NULL;
    struct digest digest;
    char path[PATH_MAX], text[DIGEST_TEXT_BYTES];
    int64_t next_ms = 0;
    struct pull_options options = {
        .settings_path = argv[2],
        .docker_path = docker_config_path(path),
        .context = &next_ms,
        .on_progress = print_progress,
        .on_missing = ask_peers,
    };
    int rc = http_start(&error);
    if (rc == 0)
        rc = blob_store_open_beside(argv[1], &blobs, &error);
    if (rc == 0)
        rc = registry_pull(blobs, &options, argv[3], &digest, &error);
    blob_store_free(blobs);
    if (rc == 0) {
        digest_format(&digest, text);
        printf("pulled %s\n", text);
        return CLI_OK;
    }
    printf("failed %d\t", rc);
    print_text(error.message);
    putchar('\t');
    print_text(error.hint);
    putchar('\n');
    return CLI_FAILED;
}

int verb_pull_worker(struct cli *cli, int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would take the image */
    if (argc != 4)
        return cli_usage(cli, "this command is for the peer itself");
    return pull(argv);
}
