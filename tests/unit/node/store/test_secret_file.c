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

#include "node/store/secret_file.h"

/* Breaks if a peer's secret key can be overwritten, read when others could have it, or cut short.
 */
static void test_secret_file(void **state)
{
    (void)state;
    char directory[] = "/tmp/consort-secret-XXXXXX", path[64];
    uint8_t seed[32], read_back[32];
    struct error error = {0};
    struct stat file;
    memset(seed, 7, sizeof(seed));
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/%s", directory, SECRET_FILE_IDENTITY);

    assert_int_equal(secret_file_read(path, read_back, sizeof(read_back), NULL), -ENOENT);
    umask(0);
    assert_int_equal(secret_file_create(path, seed, sizeof(seed), NULL), 0);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    assert_int_equal(secret_file_create(path, seed, sizeof(seed), NULL), -EEXIST);
    assert_int_equal(secret_file_read(path, read_back, sizeof(read_back), NULL), 0);
    assert_memory_equal(seed, read_back, sizeof(seed));

    chmod(path, 0640);
    assert_int_equal(secret_file_read(path, read_back, sizeof(read_back), &error), -EPERM);
    assert_non_null(strstr(error.hint, path));
    chmod(path, 0600);
    assert_int_equal(truncate(path, 31), 0);
    assert_int_equal(secret_file_read(path, read_back, sizeof(read_back), NULL), -EBADMSG);
    unlink(path);
    assert_int_equal(rmdir(directory), 0); /* nothing else was left there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_secret_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
