/* Small files that conmon and the kernel write about a container: its answer to a creation, numbers
 * (exit codes, pids), and the end of a log.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "runtime/conmon.h"
#include "runtime/file.h"
#include "runtime/log_format.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_answer(const uint8_t *data, size_t size)
{
    struct error error = {0};
    pid_t pid = 0;
    cleanup_free char *text = strndup((const char *)data, size);
    assert(text);
    if (conmon_answer_parse("web-1", text, &pid, &error) == 0)
        assert(pid > 0);
    else
        assert(error.code < 0 && error.message[0]);
}

static void try_log(const char *path, int fd, size_t size)
{
    char text[200];
    for (int lines = 0; lines < 4; lines++) {
        int64_t offset = -1;
        int rc = log_find_tail(fd, lines, &offset);
        assert(rc == 0);
        assert(offset >= 0 && offset <= (int64_t)size);
        int length = log_tail_text(path, lines, 0, text, sizeof(text));
        assert(length >= 0 && length < (int)sizeof(text));
        assert(strlen(text) == (size_t)length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32], text[64];
    uint64_t number;
    cleanup_buffer struct buffer whole = {0};
    int fd = scratch_input(data, size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    try_answer(data, size);
    file_read_u64(path, &number);
    assert(file_read_text(path, text, sizeof(text)) == 0);
    assert(strlen(text) < sizeof(text));
    if (file_read(path, sizeof(text), &whole) == 0)
        assert(whole.size == size && size <= sizeof(text));
    else
        assert(whole.size == 0 && size > sizeof(text));
    try_log(path, fd, size);
    close(fd);
    return 0;
}
