#include "runtime/state.h"

#include <errno.h>
#include <string.h>

#include "runtime/file.h"
#include "runtime/userns.h"

enum {
    RECORD_FIELDS = 17,
    RECORD_HOOKS_FIELDS = 16,    /* which knew no user namespaces */
    RECORD_NETWORKS_FIELDS = 15, /* which knew no hooks */
    RECORD_FIELDS_MIN = 13,      /* of the first daemons, which knew one network */
    EXIT_CODE_MAX = 255,
};

void container_record_init(struct container_record *record)
{
    *record = (struct container_record){.wanted = WANT_RUN, .exit_code = -1, .ran_ms = -1};
}

void container_record_write(struct writer *writer, const struct container_record *record)
{
    writer_array(writer, RECORD_FIELDS);
    writer_u64(writer, record->wanted);
    writer_u64(writer, record->ends.ips[0]);
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
    writer_u64(writer, record->ends.open_count);
    writer_array(writer, record->ends.count > 0 ? record->ends.count - 1u : 0);
    for (size_t i = 1; i < record->ends.count; i++)
        writer_u64(writer, record->ends.ips[i]);
    writer_u64(writer, record->hooks_done);
    writer_u64(writer, record->first_id);
}

/* The addresses behind the first. */
static void ends_read(struct reader *reader, struct network_ends *ends)
{
    uint32_t count = 0;
    reader_u8(reader, &ends->open_count);
    reader_array(reader, &count);
    if (count >= RUNTIME_NETWORKS_MAX || (count > 0 && ends->count == 0) ||
        ends->open_count > ends->count + count) {
        reader_refuse(reader);
        return;
    }
    for (uint32_t i = 0; i < count && reader_check(reader) == 0; i++)
        reader_u32(reader, &ends->ips[ends->count++]);
}

int container_record_read(struct reader *reader, struct container_record *ret)
{
    struct container_record record;
    container_record_init(&record);
    uint32_t fields = 0, wanted = 0, pid = 0, over = 0;
    int64_t exit_code = -1;
    if (reader_array(reader, &fields) < 0 || fields < RECORD_FIELDS_MIN)
        return reader_refuse(reader);
    reader_u32(reader, &wanted);
    reader_u32(reader, &record.ends.ips[0]);
    record.ends.count = record.ends.open_count = record.ends.ips[0] != 0;
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
    uint32_t known = RECORD_FIELDS_MIN;
    if (fields >= RECORD_NETWORKS_FIELDS) {
        ends_read(reader, &record.ends);
        known = RECORD_NETWORKS_FIELDS;
    }
    if (fields >= RECORD_HOOKS_FIELDS) {
        reader_u32(reader, &record.hooks_done);
        known = RECORD_HOOKS_FIELDS;
    }
    if (fields >= RECORD_FIELDS) {
        reader_u32(reader, &record.first_id);
        if (record.first_id != 0 &&
            (record.first_id < USERNS_IDS || record.first_id > UINT32_MAX - USERNS_IDS))
            return reader_refuse(reader);
        known = RECORD_FIELDS;
    }
    for (uint32_t i = known; i < fields && reader_check(reader) == 0; i++)
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
