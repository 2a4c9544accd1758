#include "node/mesh_process/words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "consensus/codec.h"

enum {
    GREETING_FIELDS = 2,
    STATE_FIELDS = 7,
    LOCAL_FIELDS = 4,
    LINK_FIELDS = 8,
    STATUS_FIELDS = 2,
    TROUBLE_FIELDS = 2,
    PEER_FIELDS = 2,
    SOCKET_FIELDS = 2,
    REASON_MAX = 4095, /* an errno */
};

int words_build(char ret[WORDS_BUILD_BYTES_MAX + 1])
{
    struct stat file;
    if (stat("/proc/self/exe", &file) < 0)
        return -errno;
    snprintf(ret, WORDS_BUILD_BYTES_MAX + 1, "%" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64,
             (uint64_t)file.st_dev, (uint64_t)file.st_ino, (uint64_t)file.st_size,
             (uint64_t)file.st_mtim.tv_sec * 1000000000u + (uint64_t)file.st_mtim.tv_nsec);
    return 0;
}

int greeting_encode(const struct mesh_greeting *greeting, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, GREETING_FIELDS);
    writer_text(&writer, greeting->build);
    codec_write_id(&writer, &greeting->self);
    return writer_check(&writer);
}

int greeting_decode(struct bytes bytes, struct mesh_greeting *ret)
{
    struct reader reader;
    struct mesh_greeting greeting = {0};
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, GREETING_FIELDS);
    reader_copy_text(&reader, greeting.build, sizeof(greeting.build));
    reader_fixed(&reader, greeting.self.bytes, ID_BYTES);
    int rc = reader_end(&reader);
    if (rc == 0)
        *ret = greeting;
    return rc;
}

/* --- State --- */

int state_encode(const struct mesh_state *state, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, STATE_FIELDS);
    address_write(&writer, &state->gateway);
    writer_u64(&writer, state->range.network);
    writer_u64(&writer, state->range.prefix);
    writer_u64(&writer, state->range.block_prefix);
    writer_bool(&writer, state->range.has_ipv6);
    writer_array(&writer, state->local_count);
    for (size_t i = 0; i < state->local_count; i++) {
        writer_array(&writer, LOCAL_FIELDS);
        writer_u64(&writer, state->locals[i].generation);
        writer_bool(&writer, state->locals[i].is_exclusive);
        address_write(&writer, &state->locals[i].address);
        writer_text(&writer, state->locals[i].service);
        writer_text(&writer, state->locals[i].network);
    }
    routes_write(&writer, &state->routes);
    return writer_check(&writer);
}

int state_decode(struct bytes bytes, struct mesh_state *ret)
{
    struct reader reader;
    struct mesh_state state = {0};
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, STATE_FIELDS);
    address_read(&reader, &state.gateway);
    reader_u32(&reader, &state.range.network);
    reader_u8(&reader, &state.range.prefix);
    reader_u8(&reader, &state.range.block_prefix);
    reader_bool(&reader, &state.range.has_ipv6);
    state.locals =
        codec_read_items(&reader, WORDS_LOCALS_MAX, sizeof(*state.locals), &state.local_count);
    for (size_t i = 0; i < state.local_count; i++) {
        struct mesh_local *local = &state.locals[i];
        reader_array_exact(&reader, LOCAL_FIELDS);
        reader_u64(&reader, &local->generation);
        reader_bool(&reader, &local->is_exclusive);
        address_read(&reader, &local->address);
        reader_copy_text(&reader, local->service, sizeof(local->service));
        reader_copy_text(&reader, local->network, sizeof(local->network));
    }
    if (state.range.has_ipv6 && (state.range.block_prefix == 0 || state.range.block_prefix > 32))
        reader_refuse(&reader);
    routes_read(&reader, &state.routes);
    int rc = reader_end(&reader);
    if (rc < 0)
        state_done(&state);
    else
        *ret = state;
    return rc;
}

void state_done(struct mesh_state *state)
{
    free(state->locals);
    routes_done(&state->routes);
    *state = (struct mesh_state){0};
}

/* --- Links --- */

static void write_cipher(struct writer *writer, const struct link_cipher *cipher)
{
    writer_binary(writer, cipher->cipher.key, NOISE_KEY_BYTES);
    writer_u64(writer, cipher->count);
}

static void read_cipher(struct reader *reader, struct link_cipher *cipher)
{
    reader_fixed(reader, cipher->cipher.key, NOISE_KEY_BYTES);
    reader_u64(reader, &cipher->count);
}

int link_given_encode(const struct link_given *state, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, LINK_FIELDS);
    codec_write_id(&writer, &state->id);
    address_write(&writer, &state->address);
    writer_bool(&writer, state->is_dialer);
    write_cipher(&writer, &state->send);
    write_cipher(&writer, &state->receive);
    writer_binary(&writer, state->input.bytes, state->input.size);
    return writer_check(&writer);
}

int link_given_decode(struct bytes bytes, struct link_given *ret)
{
    struct reader reader;
    struct link_given state = {0};
    struct bytes input = {0};
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, LINK_FIELDS);
    reader_fixed(&reader, state.id.bytes, ID_BYTES);
    address_read(&reader, &state.address);
    reader_bool(&reader, &state.is_dialer);
    read_cipher(&reader, &state.send);
    read_cipher(&reader, &state.receive);
    reader_binary(&reader, &input);
    int rc = reader_end(&reader);
    if (rc == 0)
        rc = buffer_append(&state.input, input.data, input.size);
    if (rc < 0)
        link_given_done(&state);
    else
        *ret = state;
    return rc;
}

int peer_word_encode(const struct id *peer, int reason, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, PEER_FIELDS);
    codec_write_id(&writer, peer);
    writer_u64(&writer, (uint64_t)-reason);
    return writer_check(&writer);
}

int peer_word_decode(struct bytes bytes, struct id *ret_peer, int *ret_reason)
{
    struct reader reader;
    struct id peer = ID_NONE;
    uint16_t reason = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, PEER_FIELDS);
    reader_fixed(&reader, peer.bytes, ID_BYTES);
    reader_u16(&reader, &reason);
    if (reader_end(&reader) < 0 || reason > REASON_MAX)
        return -EBADMSG;
    *ret_peer = peer;
    *ret_reason = -(int)reason;
    return 0;
}

int socket_word_encode(enum mesh_socket kind, uint16_t port, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, SOCKET_FIELDS);
    writer_u64(&writer, kind);
    writer_u64(&writer, port);
    return writer_check(&writer);
}

int socket_word_decode(struct bytes bytes, enum mesh_socket *ret_kind, uint16_t *ret_port)
{
    struct reader reader;
    uint8_t kind = 0;
    uint16_t port = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, SOCKET_FIELDS);
    codec_read_enum(&reader, MESH_SOCKET_KINDS - 1, &kind);
    reader_u16(&reader, &port);
    int rc = reader_end(&reader);
    if (rc < 0)
        return rc;
    *ret_kind = (enum mesh_socket)kind;
    *ret_port = port;
    return 0;
}

/* --- Status --- */

int status_encode(const struct mesh_status *status, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, STATUS_FIELDS);
    writer_u64(&writer, status->connections);
    writer_array(&writer, status->trouble_count);
    for (size_t i = 0; i < status->trouble_count; i++) {
        writer_array(&writer, TROUBLE_FIELDS);
        writer_text(&writer, status->troubles[i].service);
        writer_text(&writer, status->troubles[i].words);
    }
    return writer_check(&writer);
}

int status_decode(struct bytes bytes, struct mesh_status *ret)
{
    struct reader reader;
    struct mesh_status status = {0};
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, STATUS_FIELDS);
    reader_u64(&reader, &status.connections);
    status.troubles = codec_read_items(&reader, INTENT_SERVICES_MAX, sizeof(*status.troubles),
                                       &status.trouble_count);
    for (size_t i = 0; i < status.trouble_count; i++) {
        struct mesh_trouble *trouble = &status.troubles[i];
        reader_array_exact(&reader, TROUBLE_FIELDS);
        reader_copy_text(&reader, trouble->service, sizeof(trouble->service));
        reader_dup_text(&reader, &trouble->words, WORDS_TROUBLE_BYTES_MAX);
    }
    int rc = reader_end(&reader);
    if (rc < 0)
        status_done(&status);
    else
        *ret = status;
    return rc;
}

void status_done(struct mesh_status *status)
{
    for (size_t i = 0; i < status->trouble_count; i++)
        free(status->troubles[i].words);
    free(status->troubles);
    *status = (struct mesh_status){0};
}
