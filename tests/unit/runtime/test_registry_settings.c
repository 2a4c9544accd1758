#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "runtime/registry/settings.h"
#include "tests/unit/runtime/fixture.h"

struct scene {
    char directory[SCRATCH_PATH_BYTES];
    char ours[SCRATCH_PATH_BYTES + 16], docker[SCRATCH_PATH_BYTES + 16];
    struct registry_settings settings;
    struct error error;
};

static void scene_init(struct scene *scene)
{
    *scene = (struct scene){0};
    scratch_make(scene->directory);
    snprintf(scene->ours, sizeof(scene->ours), "%s/ours.json", scene->directory);
    snprintf(scene->docker, sizeof(scene->docker), "%s/config.json", scene->directory);
}

static void scene_done(struct scene *scene)
{
    registry_settings_done(&scene->settings);
    scratch_remove(scene->directory);
}

static int load(struct scene *scene, const char *registry)
{
    registry_settings_done(&scene->settings);
    scene->error = (struct error){0};
    return registry_settings_load(scene->ours, scene->docker, registry, &scene->settings,
                                  &scene->error);
}

/* Breaks if a registry without a word about it is refused, or trusted more than others. */
static void test_nothing_said(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(load(&scene, "docker.io"), 0);
        assert_null(scene.settings.login);
        assert_null(scene.settings.ca_file);
        assert_false(scene.settings.is_insecure);
        assert_int_equal(scene.settings.mirrors.count, 0);
        scratch_write(scene.directory, "ours.json", bytes_of_text("{}"));
    }
    scene_done(&scene);
}

/* Breaks if what the operator wrote for one registry is lost, or goes to another. */
static void test_ours(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scratch_write(scene.directory, "ours.json",
                  bytes_of_text("{\"auths\": {\"a:5000\": {\"auth\": \"YW5uOnNlY3JldA==\"}},"
                                " \"ca\": {\"a:5000\": \"/a.pem\"}, \"insecure\": [\"b\"],"
                                " \"mirrors\": {\"docker.io\": [\"https://m\", \"https://n\"]}}"));
    assert_int_equal(load(&scene, "a:5000"), 0);
    assert_string_equal(scene.settings.login, "ann:secret");
    assert_string_equal(scene.settings.ca_file, "/a.pem");
    assert_false(scene.settings.is_insecure);
    assert_int_equal(load(&scene, "b"), 0);
    assert_true(scene.settings.is_insecure);
    assert_null(scene.settings.login);
    assert_null(scene.settings.ca_file);
    assert_int_equal(load(&scene, "docker.io"), 0);
    assert_int_equal(scene.settings.mirrors.count, 2);
    assert_string_equal(scene.settings.mirrors.items[1], "https://n");
    assert_int_equal(load(&scene, "a"), 0);
    assert_null(scene.settings.login);
    scene_done(&scene);
}

/* Breaks if what `docker login` wrote is not found, or comes before our own. */
static void test_docker(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scratch_write(
        scene.directory, "config.json",
        bytes_of_text("{\"auths\": {\"https://index.docker.io/v1/\": {\"auth\": \"ZG9jOmtlcg==\"},"
                      " \"a:5000\": {\"auth\": \"b3RoZXI6eA==\"}, \"kept.example\": {}},"
                      " \"credsStore\": \"desktop\"}"));
    assert_int_equal(load(&scene, "docker.io"), 0);
    assert_string_equal(scene.settings.login, "doc:ker");
    assert_int_equal(load(&scene, "kept.example"), 0);
    assert_null(scene.settings.login);
    scratch_write(scene.directory, "ours.json",
                  bytes_of_text("{\"auths\": {\"a:5000\": {\"auth\": \"YW5uOnNlY3JldA==\"}}}"));
    assert_int_equal(load(&scene, "a:5000"), 0);
    assert_string_equal(scene.settings.login, "ann:secret");
    scene_done(&scene);
}

/* Breaks if a file with a mistake is passed over in silence, or the message hides which. */
static void test_mistakes(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "[]",
        "{",
        "{\"auths\": []}",
        "{\"auths\": {\"a\": {\"auth\": \"%%%\"}}}",
        "{\"auths\": {\"a\": {\"auth\": \"bm9jb2xvbg==\"}}}",
        "{\"auths\": {\"a\": {\"auth\": \"AGE6Yg==\"}}}",
        "{\"ca\": {\"a\": 1}}",
        "{\"insecure\": \"a\"}",
        "{\"mirrors\": {\"a\": \"https://m\"}}",
    };
    struct scene scene;
    scene_init(&scene);
    for (size_t i = 0; i < array_count(wrong); i++) {
        scratch_write(scene.directory, "ours.json", bytes_of_text(wrong[i]));
        assert_int_equal(load(&scene, "a"), -EBADMSG);
        assert_non_null(strstr(scene.error.message, "ours.json"));
    }
    scene_done(&scene);
}

/* A credential helper in the scene's directory, which is all of PATH but /bin. */
static void make_helper(struct scene *scene, const char *name, const char *script)
{
    char file[64], path[SCRATCH_PATH_BYTES + 64], search[SCRATCH_PATH_BYTES + 16];
    snprintf(file, sizeof(file), "docker-credential-%s", name);
    snprintf(path, sizeof(path), "%s/%s", scene->directory, file);
    snprintf(search, sizeof(search), "%s:/bin", scene->directory);
    scratch_write(scene->directory, file, bytes_of_text(script));
    assert_int_equal(chmod(path, 0755), 0);
    setenv("PATH", search, 1);
}

/* Breaks if a login that a helper keeps is not found, or the wrong one is asked. */
static void test_helpers(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    make_helper(&scene, "own",
                "#!/bin/sh\nread -r key\n[ $1 = get ] && [ \"$key\" = a.example:5000 ] && "
                "echo '{\"Username\":\"ann\",\"Secret\":\"se:cret\"}' || exit 1\n");
    make_helper(&scene, "all",
                "#!/bin/sh\nread -r key\necho "
                "\"{\\\"Username\\\":\\\"bob\\\",\\\"Secret\\\":\\\"$key\\\"}\"\n");
    scratch_write(
        scene.directory, "ours.json",
        bytes_of_text("{\"credHelpers\":{\"a.example:5000\":\"own\",\"b.example\":\"own\"},"
                      "\"auths\":{\"b.example\":{\"auth\":\"YjpiYg==\"}}}"));
    scratch_write(scene.directory, "config.json", bytes_of_text("{\"credsStore\":\"all\"}"));
    assert_int_equal(load(&scene, "a.example:5000"), 0);
    assert_string_equal(scene.settings.login, "ann:se:cret");
    assert_int_equal(load(&scene, "b.example"), 0); /* it knows none */
    assert_string_equal(scene.settings.login, "b:bb");
    assert_int_equal(load(&scene, "c.example"), 0);
    assert_string_equal(scene.settings.login, "bob:c.example");
    assert_int_equal(load(&scene, "docker.io"), 0);
    assert_string_equal(scene.settings.login, "bob:https://index.docker.io/v1/");
    /* A store that is not there says nothing; a helper that is named for the registry must be. */
    scratch_write(scene.directory, "config.json", bytes_of_text("{\"credsStore\":\"desktop\"}"));
    assert_int_equal(load(&scene, "c.example"), 0);
    assert_null(scene.settings.login);
    scratch_write(scene.directory, "ours.json",
                  bytes_of_text("{\"credHelpers\":{\"a.example:5000\":\"desktop\"}}"));
    assert_int_equal(load(&scene, "a.example:5000"), -ENOENT);
    assert_non_null(strstr(scene.error.message, "docker-credential-desktop"));
    scene_done(&scene);
}

/* Breaks if a helper that says nonsense, too much or nothing at all, is believed or waited for
 * without end, or a name leads to another program. */
static void test_bad_helpers(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        int result;
    } helpers[] = {
        {"#!/bin/sh\necho nonsense\n", -EBADMSG},
        {"#!/bin/sh\necho []\n", -EBADMSG},
        {"#!/bin/sh\necho '{\"Username\":\"a\"}'\n", -EBADMSG},
        {"#!/bin/sh\necho '{\"Username\":\"a:b\",\"Secret\":\"c\"}'\n", -EBADMSG},
        {"#!/bin/sh\necho '{\"Username\":\"<token>\",\"Secret\":\"c\"}'\n", -ENOTSUP},
        {"#!/bin/sh\nexec cat /dev/zero\n", -E2BIG},
        {"#!/bin/sh\nkill -9 $$\n", -EBADMSG},
    };
    struct scene scene;
    scene_init(&scene);
    scratch_write(scene.directory, "ours.json", bytes_of_text("{\"credsStore\":\"bad\"}"));
    for (size_t i = 0; i < array_count(helpers); i++) {
        make_helper(&scene, "bad", helpers[i].script);
        assert_int_equal(load(&scene, "a.example"), helpers[i].result);
        assert_non_null(strstr(scene.error.message, "credential helper bad"));
        assert_null(scene.settings.login);
    }
    scratch_write(scene.directory, "ours.json", bytes_of_text("{\"credsStore\":\"../bad\"}"));
    assert_int_equal(load(&scene, "a.example"), -EINVAL);
    scene_done(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_helpers),      cmocka_unit_test(test_bad_helpers),
        cmocka_unit_test(test_nothing_said), cmocka_unit_test(test_ours),
        cmocka_unit_test(test_docker),       cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
