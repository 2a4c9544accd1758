#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "runtime/registry/challenge.h"

/* Breaks if a token is asked for at another place, or for something else, than the registry says.
 */
static void test_bearer(void **state)
{
    (void)state;
    struct registry_challenge challenge;
    assert_int_equal(
        registry_challenge_parse("Bearer realm=\"https://auth.docker.io/token\","
                                 "service=\"registry.docker.io\", "
                                 "scope=\"repository:library/nginx:pull\",error=\"invalid_token\"",
                                 &challenge),
        0);
    assert_true(challenge.is_bearer);
    assert_string_equal(challenge.realm, "https://auth.docker.io/token");
    assert_string_equal(challenge.service, "registry.docker.io");
    assert_string_equal(challenge.scope, "repository:library/nginx:pull");
    assert_int_equal(registry_challenge_parse("bearer  Realm=x", &challenge), 0);
    assert_string_equal(challenge.realm, "x");
    assert_string_equal(challenge.service, "");
    assert_int_equal(registry_challenge_parse("Bearer realm=\"a\\\"b\"", &challenge), 0);
    assert_string_equal(challenge.realm, "a\"b");
}

/* Breaks if a login is not offered where it is wanted. */
static void test_basic(void **state)
{
    (void)state;
    struct registry_challenge challenge;
    assert_int_equal(registry_challenge_parse("Basic realm=\"here\"", &challenge), 0);
    assert_false(challenge.is_bearer);
    assert_int_equal(registry_challenge_parse(" BASIC", &challenge), 0);
    assert_false(challenge.is_bearer);
}

/* Breaks if words that are no challenge, or have no end, are taken for one. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int rc;
    } refused[] = {
        {"", -ENOTSUP},
        {"Negotiate", -ENOTSUP},
        {"BearerX realm=\"a\"", -ENOTSUP},
        {"Bearer", -EBADMSG},
        {"Bearer service=\"a\"", -EBADMSG},
        {"Bearer realm=\"a", -EBADMSG},
        {"Bearer realm", -EBADMSG},
        {"Bearer =\"a\"", -EBADMSG},
        {"Bearer realm=\"\"", -EBADMSG},
        {"Bearer realm=\"a\\", -EBADMSG},
    };
    struct registry_challenge challenge = {.realm = "untouched"};
    for (size_t i = 0; i < array_count(refused); i++)
        assert_int_equal(registry_challenge_parse(refused[i].header, &challenge), refused[i].rc);
    char large[2 * REGISTRY_TEXT_BYTES_MAX] = "Bearer realm=\"";
    memset(large + strlen(large), 'x', REGISTRY_TEXT_BYTES_MAX);
    strcat(large, "\"");
    assert_int_equal(registry_challenge_parse(large, &challenge), -EBADMSG);
    assert_string_equal(challenge.realm, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_basic),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
