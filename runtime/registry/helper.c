#include "runtime/registry/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "runtime/bounds.h"
#include "runtime/image/image_json.h"

static int check_name(const char *name, struct error *error)
{
    size_t size = strlen(name);
    if (size > 0 && size <= HELPER_NAME_BYTES_MAX &&
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == size)
        return 0;
    return error_set(error, -EINVAL, "no credential helper has that name");
}

/* Starts it, with what it shall read in the pipe already. */
static int start(const char *program, const char *registry, pid_t *ret_child, int *ret_output_fd)
{
    const char *key = strcmp(registry, "docker.io") == 0 ? "https://index.docker.io/v1/" : registry;
    const char *arguments[] = {program, "get", NULL};
    int input[2], output[2];
    if (pipe2(input, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(output, O_CLOEXEC) < 0) {
        close(input[0]);
        close(input[1]);
        return -errno;
    }
    ssize_t written = write(input[1], key, strlen(key)); /* there is room for so little */
    close(input[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    int rc = written < 0 ? -EIO
                         : -posix_spawnp(ret_child, program, &actions, NULL,
                                         (char **)(uintptr_t)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(input[0]);
    close(output[1]);
    if (rc < 0)
        close(output[0]);
    else
        *ret_output_fd = output[0];
    return rc;
}

static int read_output(int fd, int64_t deadline_ms, struct buffer *ret)
{
    char chunk[4096];
    for (;;) {
        int64_t left_ms = deadline_ms - clock_boot_ms();
        struct pollfd waits = {.fd = fd, .events = POLLIN};
        int ready = left_ms > 0 ? poll(&waits, 1, (int)left_ms) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return ready < 0 ? -errno : -ETIMEDOUT;
        ssize_t size = read(fd, chunk, sizeof(chunk));
        if (size <= 0)
            return size < 0 ? -errno : 0;
        if ((size_t)size > HELPER_OUTPUT_BYTES_MAX - ret->size)
            return -E2BIG;
        int rc = buffer_append(ret, chunk, (size_t)size);
        sodium_memzero(chunk, (size_t)size);
        if (rc < 0)
            return rc;
    }
}

/* One that does not end is ended. */
static int await(pid_t child, int64_t deadline_ms, bool is_done)
{
    int status = 0;
    pid_t ended = 0;
    while (is_done && (ended = waitpid(child, &status, WNOHANG)) == 0 &&
           clock_boot_ms() < deadline_ms)
        usleep(5000);
    if (ended == 0) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    }
    return status;
}

static int parse(struct bytes output, char **ret_login, struct error *error)
{
    cleanup_json json_t *document = NULL;
    const char *name = NULL, *secret = NULL;
    int rc = image_json_parse(output, "its answer", &document, error);
    if (rc == 0 && !json_is_object(document))
        rc = error_set(error, -EBADMSG, "its answer is no JSON object");
    if (rc == 0)
        rc = image_json_text(document, "Username", &name, error);
    if (rc == 0)
        rc = image_json_text(document, "Secret", &secret, error);
    if (rc < 0)
        return rc;
    if (!name || !secret || !*name || strchr(name, ':'))
        return error_set(error, -EBADMSG, "its answer has no name and secret");
    if (strcmp(name, "<token>") == 0)
        return error_set(error, -ENOTSUP, "it has an identity token, not a password");
    if (asprintf(ret_login, "%s:%s", name, secret) < 0) {
        *ret_login = NULL;
        return error_set_errno(error, -ENOMEM, "its answer");
    }
    return 0;
}

int credential_helper_get(const char *name, const char *registry, char **ret_login,
                          struct error *error)
{
    char program[HELPER_NAME_BYTES_MAX + 32];
    cleanup_buffer struct buffer output = {0};
    cleanup_close int fd = -1;
    pid_t child = 0;
    int64_t deadline_ms = clock_boot_ms() + HELPER_TIMEOUT_MS;
    char *login = NULL;
    int rc = check_name(name, error);
    if (rc < 0)
        return rc;
    snprintf(program, sizeof(program), "docker-credential-%s", name);
    rc = start(program, registry, &child, &fd);
    if (rc < 0)
        return error_set_errno(error, rc, "running %s", program);
    rc = read_output(fd, deadline_ms, &output);
    int status = await(child, deadline_ms, rc == 0);
    if (rc < 0)
        error_set_errno(error, rc, "running %s", program);
    /* With a code of its own it says that it knows none; the words for that differ. */
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        rc = parse(buffer_view(&output), &login, error);
    else if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
        rc = error_set(error, -EBADMSG, "it ended by signal %d", WTERMSIG(status));
    if (output.size > 0)
        sodium_memzero(output.bytes, output.size);
    if (rc < 0) {
        error_prefix(error, "credential helper %s", name);
        return rc;
    }
    *ret_login = login;
    return 0;
}
