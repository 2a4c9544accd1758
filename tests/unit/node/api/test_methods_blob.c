#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/writer.h"
#include "node/api/describe.h"

void __wrap_propose_for(struct api_call *call, struct command *command,
                        proposal_callback *callback);

static struct {
    unsigned count;
    char content[16];
    bool has_expected;
    uint64_t expected;
} proposed;

void __wrap_propose_for(struct api_call *call, struct command *command, proposal_callback *callback)
{
    const struct command_blob_set *set = &command->blob_set;
    (void)call;
    (void)callback;
    assert_int_equal(command->head.type, COMMAND_BLOB_SET);
    assert_in_range(set->blob.content.size, 1, sizeof(proposed.content) - 1);
    proposed.count++;
    memcpy(proposed.content, set->blob.content.bytes, set->blob.content.size);
    proposed.has_expected = set->has_expected;
    proposed.expected = set->expected;
}

/* Breaks if what is proposed is not what was given, or (with a sanitizer) is never freed. */
static void test_set(void **state)
{
    struct buffer params = {0};
    struct api_call call = {0};
    struct writer writer;
    const struct api_entry *entry = api_blob_methods;
    (void)state;
    while (strcmp(entry->name, "config.set") != 0)
        entry++;
    writer_init(&writer, &params);
    writer_map(&writer, 3);
    writer_text(&writer, "name");
    writer_text(&writer, "greeting");
    writer_text(&writer, "data");
    writer_binary(&writer, (const uint8_t *)"hello", 5);
    writer_text(&writer, "expected");
    writer_u64(&writer, 7);
    entry->method(&call, buffer_view(&params));
    assert_int_equal(proposed.count, 1);
    assert_string_equal(proposed.content, "hello");
    assert_true(proposed.has_expected);
    assert_int_equal(proposed.expected, 7);
    buffer_done(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
