#include "tests/unit/node/compose/compose_bench.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    NAME_BYTES = 64,
    PATH_BYTES = 2 * NAME_BYTES,
    FILES_MAX = 8,
    TEXT_BYTES = 64 * 1024,
};

static char folder[NAME_BYTES];
static char paths[FILES_MAX][PATH_BYTES];
static size_t path_count;

void bench_file(const char *name, const char *content)
{
    if (!folder[0]) {
        strcpy(folder, "/tmp/consort-compose-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    assert_true(path_count < FILES_MAX);
    char *path = paths[path_count++];
    snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    *slash = '/';
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void remove_all(void)
{
    while (path_count > 0) {
        char *path = paths[--path_count];
        assert_int_equal(unlink(path), 0);
        *strrchr(path, '/') = '\0';
        assert_true(rmdir(path) == 0 || errno == ENOTEMPTY);
    }
    assert_true(rmdir(folder) == 0 || errno == ENOENT);
    folder[0] = '\0';
}

/* The file's path must stand at the beginning, and is cut off. */
static void cut_path(char *message, const char *path)
{
    size_t size = strlen(path);
    assert_memory_equal(message, path, size);
    memmove(message, message + size, strlen(message + size) + 1);
}

int bench_load_path(const char *path, const char *stack, struct compose_result *ret,
                    struct error *error)
{
    struct text_list files = {0};
    const struct compose_options options = {.files = &files, .stack_name = stack};
    assert_int_equal(text_list_add(&files, path), 0);
    int rc = compose_load(&options, ret, error);
    text_list_done(&files);
    return rc;
}

int bench_load_project(const char *const *names, const char *profiles, struct compose_result *ret,
                       struct error *error)
{
    struct text_list files = {0};
    char before[PATH_BYTES];
    const struct compose_options options = {.files = &files, .stack_name = "shop"};
    for (; *names; names++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof(path), "%s/%s", folder, *names);
        assert_int_equal(text_list_add(&files, path), 0);
    }
    assert_int_equal(
        profiles ? setenv("COMPOSE_PROFILES", profiles, 1) : unsetenv("COMPOSE_PROFILES"), 0);
    int rc = compose_load(&options, ret, error);
    unsetenv("COMPOSE_PROFILES");
    snprintf(before, sizeof(before), "%s/", folder);
    if (rc < 0)
        cut_path(error->message, before);
    for (size_t i = 0; rc == 0 && i < ret->warnings.count; i++)
        cut_path(ret->warnings.items[i], before);
    text_list_done(&files);
    remove_all();
    return rc;
}

static int load(const char *text, struct compose_result *ret, struct error *error)
{
    bench_file("compose.yaml", text);
    const char *path = paths[path_count - 1];
    int rc = bench_load_path(path, "shop", ret, error);
    if (rc < 0) {
        assert_int_equal(error->code, rc);
        cut_path(error->message, path);
    }
    for (size_t i = 0; rc == 0 && i < ret->warnings.count; i++)
        cut_path(ret->warnings.items[i], path);
    remove_all();
    return rc;
}

void bench_load(const char *text, struct compose_result *ret)
{
    struct error error = {0};
    if (load(text, ret, &error) < 0)
        fail_msg("%s", error.message);
    if (ret->warnings.count > 0)
        fail_msg("%s", ret->warnings.items[0]);
}

void bench_refuse(const char *text, const char *words)
{
    struct compose_result result;
    struct error error = {0};
    assert_int_equal(load(text, &result, &error), -EINVAL);
    assert_string_equal(error.message, words);
}

void bench_warn(const char *text, const char *words)
{
    struct compose_result result;
    struct error error = {0};
    if (load(text, &result, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(result.warnings.count, 1);
    assert_string_equal(result.warnings.items[0], words);
    compose_result_done(&result);
}

static const char *with_service(const char *lines)
{
    static char text[TEXT_BYTES];
    int length = snprintf(text, sizeof(text), "services:\n  web:\n    image: hello:1\n%s", lines);
    assert_true(length < (int)sizeof(text));
    return text;
}

void bench_load_service(const char *lines, struct compose_result *ret)
{
    bench_load(with_service(lines), ret);
}

void bench_refuse_service(const char *lines, const char *words)
{
    bench_refuse(with_service(lines), words);
}

void bench_warn_service(const char *lines, const char *words)
{
    bench_warn(with_service(lines), words);
}
