#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node/bounds.h"
#include "node/transport/link_cipher.h"

/* Breaks if the two ends change keys at different messages, or do not change them. */
static void test_rekey(void **state)
{
    (void)state;
    const struct noise_cipher key = {.key = {1, 2, 3}};
    struct link_cipher send, receive;
    cleanup_buffer struct buffer sealed = {0};
    struct bytes opened;
    link_cipher_init(&send, &key);
    link_cipher_init(&receive, &key);
    for (int i = 0; i < 2 * LINK_REKEY_MESSAGES + 3; i++) {
        buffer_clear(&sealed);
        assert_int_equal(link_cipher_seal(&send, (struct bytes){(uint8_t *)&i, sizeof(i)}, &sealed),
                         0);
        assert_int_equal(link_cipher_open(&receive, sealed.bytes, sealed.size, &opened), 0);
        assert_int_equal(opened.size, sizeof(i));
        assert_memory_equal(opened.data, &i, sizeof(i));
    }
    assert_memory_not_equal(send.cipher.key, key.key, sizeof(key.key));
    assert_memory_equal(send.cipher.key, receive.cipher.key, sizeof(key.key));
    link_cipher_done(&send);
    link_cipher_done(&receive);
}

/* Breaks if a frame that was changed, repeated or cut short is taken. */
static void test_forged(void **state)
{
    (void)state;
    const struct noise_cipher key = {.key = {1, 2, 3}};
    struct link_cipher send, receive;
    cleanup_buffer struct buffer sealed = {0};
    uint8_t copy[64];
    struct bytes opened;
    link_cipher_init(&send, &key);
    link_cipher_init(&receive, &key);
    assert_int_equal(link_cipher_seal(&send, bytes_of_text("word"), &sealed), 0);
    for (size_t i = 0; i < sealed.size; i++) {
        memcpy(copy, sealed.bytes, sealed.size);
        copy[i] ^= 1;
        assert_int_equal(link_cipher_open(&receive, copy, sealed.size, &opened), -EBADMSG);
        memcpy(copy, sealed.bytes, sealed.size);
        assert_int_equal(link_cipher_open(&receive, copy, i, &opened), -EBADMSG);
    }
    memcpy(copy, sealed.bytes, sealed.size);
    assert_int_equal(link_cipher_open(&receive, copy, sealed.size, &opened), 0);
    memcpy(copy, sealed.bytes, sealed.size);
    assert_int_equal(link_cipher_open(&receive, copy, sealed.size, &opened), -EBADMSG);
    link_cipher_done(&send);
    link_cipher_done(&receive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rekey),
        cmocka_unit_test(test_forged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
