#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/control/clients.h"

/* Breaks if a client is used again before its command is answered, whose later command makes the
 * earlier one void, or if its next command has a number that it had. */
static void test_one_command_each(void **state)
{
    (void)state;
    struct clients clients = {0};
    struct client one, other, again;
    clients_take(&clients, 7, &one);
    assert_true(one.id == 7 && one.sequence == 1);
    clients_give_back(&clients, &one);
    clients_take(&clients, 8, &again);
    assert_true(again.id == 7 && again.sequence == 2);
    clients_take(&clients, 9, &other);
    assert_true(other.id == 9 && other.sequence == 1);
    clients_done(&clients);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_command_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
