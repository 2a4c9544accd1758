#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bounds.h"
#include "base/text_list.h"

enum {
    TEXT_BYTES_MAX = 8,
};

static int read_back(const struct buffer *packed, uint32_t items_max, struct text_list *ret)
{
    struct reader reader;
    reader_init(&reader, packed->bytes, packed->size);
    text_list_read(&reader, items_max, TEXT_BYTES_MAX, ret);
    return reader_end(&reader);
}

static void pack(struct buffer *ret, const struct text_list *list)
{
    struct writer writer;
    ret->size = 0;
    writer_init(&writer, ret);
    text_list_write(&writer, list);
    assert_int_equal(writer_check(&writer), 0);
}

/* Breaks if what is written is not what is read, or execve() would run off the list's end. */
static void test_round_trip(void **state)
{
    (void)state;
    struct text_list list = {0}, back = {0};
    struct buffer packed = {0};
    pack(&packed, &list);
    assert_int_equal(read_back(&packed, 0, &back), 0);
    assert_int_equal(back.count, 0);

    assert_int_equal(text_list_add(&list, "sh"), 0);
    assert_int_equal(text_list_add(&list, ""), 0);
    assert_int_equal(text_list_add(&list, "12345678"), 0);
    pack(&packed, &list);
    assert_int_equal(read_back(&packed, 3, &back), 0);
    assert_int_equal(back.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(back.items[i], list.items[i]);
    assert_null(back.items[3]);
    text_list_done(&back);
    text_list_done(&list);
    buffer_done(&packed);
}

/* Breaks if a list from the network or disk may be longer than the caller allows, or a text. */
static void test_bounds(void **state)
{
    (void)state;
    struct text_list list = {0}, back = {0};
    struct buffer packed = {0};
    assert_int_equal(text_list_add(&list, "a"), 0);
    assert_int_equal(text_list_add(&list, "b"), 0);
    pack(&packed, &list);
    assert_int_equal(read_back(&packed, 1, &back), -EBADMSG);
    assert_int_equal(back.count, 0);

    assert_int_equal(text_list_add(&list, "123456789"), 0);
    pack(&packed, &list);
    assert_int_equal(read_back(&packed, 3, &back), -EBADMSG);
    text_list_done(&back);

    while (list.count < BASE_TEXT_LIST_ITEMS_MAX)
        assert_int_equal(text_list_add(&list, ""), 0);
    assert_int_equal(text_list_add(&list, ""), -E2BIG);
    assert_int_equal(list.count, BASE_TEXT_LIST_ITEMS_MAX);
    text_list_done(&list);
    buffer_done(&packed);
}

/* Breaks if anything but an array of texts is taken for one. */
static void test_other_types(void **state)
{
    (void)state;
    struct text_list back = {0};
    struct buffer packed = {0};
    struct writer writer;
    writer_init(&writer, &packed);
    writer_text(&writer, "sh");
    assert_int_equal(read_back(&packed, 3, &back), -EBADMSG);

    packed.size = 0;
    writer_array(&writer, 1);
    writer_u64(&writer, 7);
    assert_int_equal(read_back(&packed, 3, &back), -EBADMSG);
    text_list_done(&back);
    buffer_done(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_other_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
