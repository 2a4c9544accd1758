/* etcd's API: gRPC's Put over HTTP/2 (RFC 9113, RFC 7541), as much as one request at a time needs.
 *
 * Headers are put into HPACK's dynamic table by the first request and named by a byte each in those
 * that follow, as a gRPC client does. Those that come back aren't read: a Put that failed is
 * answered by trailers alone, with no data.
 */
#include <errno.h>
#include <string.h>

#include "wire.h"

enum {
    FRAME_DATA,
    FRAME_HEADERS,
    FRAME_RST_STREAM = 3,
    FRAME_SETTINGS,
    FRAME_PING = 6,
    FRAME_GOAWAY,
    FRAME_WINDOW_UPDATE,
    FRAME_HEAD_BYTES = 9,
    FRAME_BYTES_MAX = 16384,
    FLAG_END_STREAM = 1,
    FLAG_ACK = 1,
    FLAG_END_HEADERS = 4,
    PING_BYTES = 8,
    GRPC_HEAD_BYTES = 5,
    WINDOW_BYTES_DEFAULT = 65535,
    WINDOW_BYTES_MAX = 0x7fffffff,
    VARINT_BYTES_MAX = 5,
    PUT_KEY = 1 << 3 | 2, /* protobuf: field 1 and 2 of PutRequest, length-delimited */
    PUT_VALUE = 2 << 3 | 2,
};

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* :method POST, :scheme http, :path, :authority, content-type, te. */
static const uint8_t headers_first[] = "\x83\x86"
                                       "\x44\x14/etcdserverpb.KV/Put"
                                       "\x41\x04"
                                       "etcd"
                                       "\x5f\x10"
                                       "application/grpc"
                                       "\x40\x02te\x08trailers";
static const uint8_t headers_again[] = {0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe};

static void frame_head(uint8_t head[FRAME_HEAD_BYTES], size_t size, uint8_t type, uint8_t flags,
                       uint32_t stream)
{
    const uint8_t bytes[FRAME_HEAD_BYTES] = {(uint8_t)(size >> 16),
                                             (uint8_t)(size >> 8),
                                             (uint8_t)size,
                                             type,
                                             flags,
                                             (uint8_t)(stream >> 24),
                                             (uint8_t)(stream >> 16),
                                             (uint8_t)(stream >> 8),
                                             (uint8_t)stream};
    memcpy(head, bytes, sizeof(bytes));
}

static int add_frame(struct buffer *out, uint8_t type, uint8_t flags, uint32_t stream,
                     struct bytes payload)
{
    uint8_t head[FRAME_HEAD_BYTES];
    frame_head(head, payload.size, type, flags, stream);
    int rc = buffer_append(out, head, sizeof(head));
    return rc < 0 ? rc : buffer_append(out, payload.data, payload.size);
}

static int greet(struct wire_state *state, struct buffer *out)
{
    uint32_t more = WINDOW_BYTES_MAX - WINDOW_BYTES_DEFAULT; /* answers never have to wait */
    uint8_t update[4] = {(uint8_t)(more >> 24), (uint8_t)(more >> 16), (uint8_t)(more >> 8),
                         (uint8_t)more};
    state->window_bytes = WINDOW_BYTES_DEFAULT;
    int rc = buffer_append(out, preface, sizeof(preface) - 1);
    if (rc == 0)
        rc = add_frame(out, FRAME_SETTINGS, 0, 0, (struct bytes){0});
    if (rc == 0)
        rc = add_frame(out, FRAME_WINDOW_UPDATE, 0, 0, (struct bytes){update, sizeof(update)});
    return rc;
}

static size_t put_varint(uint8_t *ret, size_t value)
{
    size_t count = 0;
    for (; value > 0x7f; value >>= 7)
        ret[count++] = (uint8_t)(value | 0x80);
    ret[count++] = (uint8_t)value;
    return count;
}

static size_t put_field(uint8_t *ret, uint8_t tag, struct bytes value)
{
    ret[0] = tag;
    size_t size = 1 + put_varint(ret + 1, value.size);
    memcpy(ret + size, value.data, value.size);
    return size + value.size;
}

static int request(struct wire_state *state, const char *key, struct bytes value,
                   struct buffer *out)
{
    uint8_t data[FRAME_BYTES_MAX];
    struct bytes name = bytes_of_text(key);
    if (value.size > sizeof(data) - GRPC_HEAD_BYTES - WIRE_KEY_BYTES_MAX - 16)
        return -EMSGSIZE;
    size_t size = GRPC_HEAD_BYTES;
    size += put_field(data + size, PUT_KEY, name);
    size += put_field(data + size, PUT_VALUE, value);
    size_t message = size - GRPC_HEAD_BYTES;
    data[0] = 0; /* not compressed */
    for (int i = 0; i < 4; i++)
        data[1 + i] = (uint8_t)(message >> (24 - 8 * i));
    if (state->window_bytes < (int64_t)size)
        return -EAGAIN;
    state->window_bytes -= (int64_t)size;

    bool is_first = state->number == 0;
    state->number = is_first ? 1 : state->number + 2;
    state->has_answer = false;
    struct bytes headers = is_first ? (struct bytes){headers_first, sizeof(headers_first) - 1}
                                    : (struct bytes){headers_again, sizeof(headers_again)};
    uint32_t stream = (uint32_t)state->number;
    int rc = add_frame(out, FRAME_HEADERS, FLAG_END_HEADERS, stream, headers);
    return rc < 0 ? rc
                  : add_frame(out, FRAME_DATA, FLAG_END_STREAM, stream, (struct bytes){data, size});
}

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* One whole frame: 1 if it ends the answer. */
static int take_frame(struct wire_state *state, uint8_t type, uint8_t flags, uint32_t stream,
                      struct bytes payload, struct buffer *out)
{
    bool is_ours = stream == state->number;
    switch (type) {
    case FRAME_DATA:
        state->has_answer = state->has_answer || (is_ours && payload.size > GRPC_HEAD_BYTES);
        break;
    case FRAME_HEADERS:
        break;
    case FRAME_SETTINGS:
        return flags & FLAG_ACK ? 0
                                : add_frame(out, FRAME_SETTINGS, FLAG_ACK, 0, (struct bytes){0});
    case FRAME_PING:
        return flags & FLAG_ACK ? 0 : add_frame(out, FRAME_PING, FLAG_ACK, 0, payload);
    case FRAME_WINDOW_UPDATE:
        if (stream == 0 && payload.size == 4)
            state->window_bytes += read_u32(payload.data) & WINDOW_BYTES_MAX;
        return 0;
    case FRAME_RST_STREAM:
        return is_ours ? -EREMOTEIO : 0;
    case FRAME_GOAWAY:
        return -ECONNRESET;
    default:
        return 0;
    }
    if (!is_ours || !(flags & FLAG_END_STREAM))
        return 0;
    return state->has_answer ? 1 : -EREMOTEIO;
}

static int take(struct wire_state *state, struct buffer *in, struct buffer *out)
{
    int rc = 0;
    while (rc == 0 && in->size >= FRAME_HEAD_BYTES) {
        const uint8_t *head = in->bytes;
        size_t size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        if (size > FRAME_BYTES_MAX)
            return -EBADMSG;
        if (in->size - FRAME_HEAD_BYTES < size)
            return 0;
        rc = take_frame(state, head[3], head[4], read_u32(head + 5) & WINDOW_BYTES_MAX,
                        (struct bytes){head + FRAME_HEAD_BYTES, size}, out);
        buffer_consume(in, FRAME_HEAD_BYTES + size);
    }
    return rc;
}

const struct wire wire_etcd = {"etcd", greet, request, take};
