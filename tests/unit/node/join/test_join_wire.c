#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/writer.h"
#include "node/join/join_wire.h"
#include "tests/unit/node/transport/party.h"

/* Breaks if a request does not arrive as it was said, or one that is cut short or odd is taken. */
static void test_request(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = {0};
    const struct join_request said = {.name = "db1", .role = ROLE_DEPLOYER, .level = 7};
    struct join_request heard = {.role = ROLE_VIEWER};
    assert_int_equal(join_request_encode(&said, &bytes), 0);
    assert_true(bytes.size <= JOIN_REQUEST_BYTES_MAX);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(join_request_decode((struct bytes){bytes.bytes, size}, &heard), -EBADMSG);
    assert_int_equal(heard.role, ROLE_VIEWER); /* untouched */
    assert_int_equal(join_request_decode(buffer_view(&bytes), &heard), 0);
    assert_string_equal(heard.name, "db1");
    assert_int_equal(heard.role, ROLE_DEPLOYER);
    assert_int_equal(heard.level, 7);

    uint8_t *role = &bytes.bytes[bytes.size - 2], *version = &bytes.bytes[1];
    *role = 0;
    assert_int_equal(join_request_decode(buffer_view(&bytes), &heard), -EBADMSG);
    *role = ROLE_ADMIN + 1;
    assert_int_equal(join_request_decode(buffer_view(&bytes), &heard), -EBADMSG);
    *version = JOIN_VERSION + 1; /* whatever a newer one says */
    assert_int_equal(join_request_decode(buffer_view(&bytes), &heard), -EPROTONOSUPPORT);
    *version = JOIN_VERSION;
    *role = ROLE_PEER;
    assert_int_equal(buffer_append(&bytes, "\x00", 1), 0);
    assert_int_equal(join_request_decode(buffer_view(&bytes), &heard), -EBADMSG);
}

static void make_answer(struct join_answer *answer)
{
    struct identity root;
    struct party party;
    party_identity(&root, 1);
    party_init(&party, 2, "db1", ROLE_PEER, &root);
    *answer = (struct join_answer){.chain = party.chain, .intent = bytes_of_text("the intent")};
    for (uint32_t i = 0; i < JOIN_SEEDS_MAX; i++)
        answer->seeds[i] = (struct join_seed){{{(uint8_t)i}}, address_from_v4(i, 7300)};
    answer->seed_count = JOIN_SEEDS_MAX;
}

/* Breaks if what a newcomer needs does not arrive, or half an answer is taken for one. */
static void test_answer(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = {0};
    struct join_answer said, heard = {.seed_count = 99};
    make_answer(&said);
    assert_int_equal(join_answer_encode(&said, &bytes), 0);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(join_answer_decode((struct bytes){bytes.bytes, size}, &heard), -EBADMSG);
    assert_int_equal(heard.seed_count, 99); /* untouched */
    assert_int_equal(join_answer_decode(buffer_view(&bytes), &heard), 0);
    assert_int_equal(heard.error.code, 0);
    assert_int_equal(heard.seed_count, JOIN_SEEDS_MAX);
    assert_true(id_equal(&heard.seeds[15].id, &said.seeds[15].id));
    assert_true(address_equal(&heard.seeds[15].address, &said.seeds[15].address));
    assert_true(bytes_equal(heard.intent, said.intent));
    assert_int_equal(heard.chain.count, 1);
    assert_string_equal(heard.chain.certificates[0].name, "db1");
}

/* Breaks if a refusal loses its words, or its code can be anything. */
static void test_refusal(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = {0};
    struct join_answer said = {0}, heard;
    error_set(&said.error, -EPERM, "the token is used up");
    error_hint(&said.error, "make another");
    assert_int_equal(join_answer_encode(&said, &bytes), 0);
    assert_int_equal(join_answer_decode(buffer_view(&bytes), &heard), 0);
    assert_int_equal(heard.error.code, -EPERM);
    assert_string_equal(heard.error.message, "the token is used up");
    assert_string_equal(heard.error.hint, "make another");
    assert_int_equal(heard.seed_count, 0);
    assert_int_equal(heard.chain.count, 0);
    bytes.bytes[1] = 1; /* no errno */
    assert_int_equal(join_answer_decode(buffer_view(&bytes), &heard), -EBADMSG);
}

/* Breaks if an answer with more seeds than there is room for is written past the end. */
static void test_too_many_seeds(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = {0};
    struct join_answer heard;
    struct writer writer;
    static const struct certificate_chain no_chain;
    static const struct id id = {{1}};
    const struct address address = address_from_v4(1, 1);
    writer_init(&writer, &bytes);
    writer_array(&writer, 6);
    writer_i64(&writer, 0);
    writer_text(&writer, "");
    writer_text(&writer, "");
    certificate_chain_write(&writer, &no_chain);
    writer_array(&writer, JOIN_SEEDS_MAX + 1);
    for (int i = 0; i < JOIN_SEEDS_MAX + 1; i++) {
        writer_array(&writer, 2);
        writer_binary(&writer, id.bytes, ID_BYTES);
        address_write(&writer, &address);
    }
    writer_binary(&writer, NULL, 0);
    assert_int_equal(writer_check(&writer), 0);
    assert_int_equal(join_answer_decode(buffer_view(&bytes), &heard), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_too_many_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
