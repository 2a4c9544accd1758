#include "runtime/state.h"

#include <errno.h>
#include <string.h>

#include "runtime/file.h"

enum {
    RECORD_FIELDS = 13,
    EXIT_CODE_MAX = 255,
};

void container_record_init(struct container_record *record)
{
    *record = (struct container_record){.wanted = WANT_RUN, .exit_code = -1};
}

void container_record_write(struct writer *writer, const struct container_record *record)
{
    writer_array(writer, RECORD_FIELDS);
    writer_u64(writer, record->wanted);
    writer_u64(writer, record->ip);
    writer_u64(writer, (uint64_t)record->process.pid);
    writer_u64(writer, record->process.start_ticks);
    writer_text(writer, record->process.boot_id);
    writer_u64(writer, record->over);
    writer_i64(writer, record->exit_code);
    writer_bool(writer, record->oom_killed);
    writer_u64(writer, record->attempts);
    writer_u64(writer, record->restarts);
    writer_i64(writer, record->started_wall_ms);
    writer_i64(writer, record->finished_wall_ms);
    writer_text(writer, record->error);
}

int container_record_read(struct reader *reader, struct container_record *ret)
{
    struct container_record record;
    container_record_init(&record);
    uint32_t fields = 0, wanted = 0, pid = 0, over = 0;
    int64_t exit_code = -1;
    if (reader_array(reader, &fields) < 0 || fields < RECORD_FIELDS)
        return reader_refuse(reader);
    reader_u32(reader, &wanted);
    reader_u32(reader, &record.ip);
    reader_u32(reader, &pid);
    reader_u64(reader, &record.process.start_ticks);
    reader_copy_text(reader, record.process.boot_id, sizeof(record.process.boot_id));
    reader_u32(reader, &over);
    reader_i64(reader, &exit_code);
    reader_bool(reader, &record.oom_killed);
    reader_u32(reader, &record.attempts);
    reader_u32(reader, &record.restarts);
    reader_i64(reader, &record.started_wall_ms);
    reader_i64(reader, &record.finished_wall_ms);
    reader_copy_text(reader, record.error, sizeof(record.error));
    for (uint32_t i = RECORD_FIELDS; i < fields && reader_check(reader) == 0; i++)
        reader_skip(reader); /* a newer daemon's */
    if (wanted > WANT_REMOVE || over > OVER_ENDED || pid > INT32_MAX || exit_code < -1 ||
        exit_code > EXIT_CODE_MAX)
        return reader_refuse(reader);
    if (reader_check(reader) < 0)
        return -EBADMSG;
    record.wanted = (enum container_wanted)wanted;
    record.over = (enum container_over)over;
    record.process.pid = (pid_t)pid;
    record.exit_code = (int)exit_code;
    *ret = record;
    return 0;
}

int container_record_save(const char *path, const struct container_record *record, bool synced)
{
    cleanup_buffer struct buffer packed;
    buffer_init(&packed);
    struct writer writer;
    writer_init(&writer, &packed);
    container_record_write(&writer, record);
    int result = writer_check(&writer);
    if (result < 0)
        return result;
    return file_replace(path, 0600, packed.bytes, packed.size, synced);
}

int container_record_load(const char *path, struct container_record *ret)
{
    cleanup_buffer struct buffer packed;
    buffer_init(&packed);
    int result = file_read(path, STATE_BYTES_MAX, &packed);
    if (result < 0)
        return result;
    struct reader reader;
    reader_init(&reader, packed.bytes, packed.size);
    return container_record_read(&reader, ret);
}
