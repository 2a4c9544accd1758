#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <libmnl/libmnl.h>

#include "base/library.h"

/* Nobody has it. */
void mnl_no_such_function(void);

#define FUNCTIONS(FUNCTION)                                                                        \
    FUNCTION(mnl_, nlmsg_size)                                                                     \
    FUNCTION(mnl_, nlmsg_get_payload_len)

#define FUNCTIONS_LACKING(FUNCTION)                                                                \
    FUNCTION(mnl_, nlmsg_size)                                                                     \
    FUNCTION(mnl_, no_such_function)

static struct {
    FUNCTIONS(LIBRARY_POINTER)
} libmnl;

static struct {
    FUNCTIONS_LACKING(LIBRARY_POINTER)
} lacking;

static bool is_loaded(const char *file)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_NOLOAD);
    if (handle)
        dlclose(handle);
    return handle != NULL;
}

/* Breaks if a library is unloaded under somebody who uses it, or stays after the last. */
static void test_users(void **state)
{
    struct library library = LIBRARY("libmnl.so.0", "libmnl0", FUNCTIONS, libmnl);
    struct error error = {0};
    (void)state;
    for (int round = 0; round < 2; round++) {
        assert_false(is_loaded("libmnl.so.0"));
        assert_int_equal(library_use(&library, &error), 0);
        assert_int_equal(library_use(&library, &error), 0);
        library_release(&library);
        assert_true(is_loaded("libmnl.so.0"));
        assert_int_equal(libmnl.nlmsg_size(4), MNL_NLMSG_HDRLEN + 4);
        struct nlmsghdr message = {.nlmsg_len = MNL_NLMSG_HDRLEN + 8};
        assert_int_equal(libmnl.nlmsg_get_payload_len(&message), 8);
        library_release(&library);
    }
    assert_false(is_loaded("libmnl.so.0"));
}

/* Breaks if the operator is not told what to install. */
static void test_missing(void **state)
{
    struct library library = LIBRARY("libno-such.so.1", "libno-such1", FUNCTIONS, libmnl);
    struct error error = {0};
    (void)state;
    assert_int_equal(library_use(&library, &error), -ELIBACC);
    assert_non_null(strstr(error.message, "libno-such.so.1 can't be used: "));
    assert_string_equal(error.hint, "install it on this machine: apt-get install libno-such1");
}

/* Breaks if a library of another version is used by halves. */
static void test_function_missing(void **state)
{
    struct library library = LIBRARY("libmnl.so.0", "libmnl0", FUNCTIONS_LACKING, lacking);
    struct error error = {0};
    (void)state;
    assert_int_equal(library_use(&library, &error), -ELIBACC);
    assert_non_null(strstr(error.message, "mnl_no_such_function"));
    assert_false(is_loaded("libmnl.so.0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_function_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
