/* Files of variables: .env and env_file. What is taken has a name. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "node/compose/environment.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    struct text_list list = {0};
    struct error error = {0};
    int fd = scratch_input(data, size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct text_list warnings = {0};
    struct environment_file file = {.path = path, .warnings = &warnings};
    if (environment_file_read(&file, &list, &error) < 0)
        assert(error.code < 0 && error.message[0]);
    for (size_t i = 0; i < list.count; i++)
        assert(strchr(list.items[i], '=') > list.items[i]);
    text_list_done(&list);
    text_list_done(&warnings);
    close(fd);
    return 0;
}
