#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/api/call.h"
#include "node/peer/reads.h"

int __wrap_peer_read(struct peer *peer, read_callback *callback, void *context);
void __wrap_api_fail(struct api_call *call, const struct error *error);
void __wrap_api_fail_with(struct api_call *call, int code, const char *hint, const char *format,
                          ...) __attribute__((format(printf, 4, 5)));

static struct {
    int rc;
    read_callback *callback;
    void *context;
} asked;

static struct {
    unsigned calls;
    struct api_call *call;
    char params[16];
    int failed;
} said;

int __wrap_peer_read(struct peer *peer, read_callback *callback, void *context)
{
    (void)peer;
    asked.callback = callback;
    asked.context = context;
    return asked.rc;
}

void __wrap_api_fail(struct api_call *call, const struct error *error)
{
    said.call = call;
    said.failed = error->code;
}

void __wrap_api_fail_with(struct api_call *call, int code, const char *hint, const char *format,
                          ...)
{
    (void)hint;
    (void)format;
    said.call = call;
    said.failed = code;
}

static void method(struct api_call *call, struct bytes params)
{
    said.calls++;
    said.call = call;
    assert_in_range(params.size, 1, sizeof(said.params) - 1);
    memcpy(said.params, params.data, params.size);
}

static int setup(void **state)
{
    (void)state;
    memset(&asked, 0, sizeof(asked));
    memset(&said, 0, sizeof(said));
    return 0;
}

/* Breaks if a query answers before the state is new enough, or by other params than it was asked
 * with (the frame that they lay in is gone by then). */
static void test_answered_later(void **state)
{
    struct api_call call = {0};
    char params[] = "params";
    (void)state;
    api_answer_consistently(&call, method, bytes_of_text(params));
    assert_int_equal(said.calls, 0);
    memset(params, 'x', sizeof(params) - 1);
    asked.callback(asked.context, &(struct intent_result){0});
    assert_int_equal(said.calls, 1);
    assert_ptr_equal(said.call, &call);
    assert_string_equal(said.params, "params");
}

/* Breaks if a query is answered from a state that may be old, when nobody can say what is newest;
 * or is never answered when there is no memory. */
static void test_refused(void **state)
{
    struct api_call call = {0};
    (void)state;
    api_answer_consistently(&call, method, bytes_of_text("params"));
    struct intent_result refusal = {.code = -EAGAIN, .error.code = -EAGAIN};
    asked.callback(asked.context, &refusal);
    assert_int_equal(said.calls, 0);
    assert_int_equal(said.failed, -EAGAIN);
    assert_ptr_equal(said.call, &call);
    asked.rc = -ENOMEM;
    api_answer_consistently(&call, method, bytes_of_text("params"));
    assert_int_equal(said.calls, 0);
    assert_int_equal(said.failed, -ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_answered_later, setup),
        cmocka_unit_test_setup(test_refused, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
