#include "gossip/session_packet.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

_Static_assert(SESSION_FIRST_OVERHEAD_BYTES == SESSION_DATAGRAM_BYTES_MAX -
                                                   SESSION_FIRST_INSIDE_BYTES +
                                                   SESSION_FIRST_FIELDS_BYTES,
               "bounds.h says what a first packet costs");
_Static_assert(SESSION_DATA_OVERHEAD_BYTES == SESSION_DATA_HEADER_BYTES + NOISE_TAG_BYTES,
               "bounds.h says what a data packet costs");
_Static_assert(SESSION_FIRST_INSIDE_BYTES <= UINT16_MAX, "sizes inside fit 16 bits");

static uint8_t *put_be(uint8_t *to, uint64_t value, int width)
{
    for (int i = 0; i < width; i++)
        to[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    return to + width;
}

static uint64_t get_be(const uint8_t *from, int width)
{
    uint64_t value = 0;
    for (int i = 0; i < width; i++)
        value = value << 8 | from[i];
    return value;
}

int session_stamp_compare(const struct session_stamp *a, const struct session_stamp *b)
{
    if (a->generation != b->generation)
        return a->generation < b->generation ? -1 : 1;
    if (a->counter != b->counter)
        return a->counter < b->counter ? -1 : 1;
    return 0;
}

void session_header_encode(enum session_packet_type type, uint32_t index,
                           uint8_t ret[SESSION_HEADER_BYTES])
{
    ret[0] = (uint8_t)type;
    ret[1] = SESSION_VERSION;
    ret[2] = ret[3] = 0;
    put_be(ret + 4, index, 4);
}

static bool size_is_possible(enum session_packet_type type, size_t size)
{
    switch (type) {
    case SESSION_FIRST:
        return size == SESSION_DATAGRAM_BYTES_MAX;
    case SESSION_ANSWER:
        return size >= SESSION_ANSWER_OVERHEAD_BYTES && size <= SESSION_DATAGRAM_BYTES_MAX;
    case SESSION_COOKIE:
        return size == SESSION_COOKIE_PACKET_BYTES;
    case SESSION_DATA:
        return size >= SESSION_DATA_OVERHEAD_BYTES && size <= SESSION_DATAGRAM_BYTES_MAX;
    }
    return false;
}

enum session_refusal session_header_decode(struct bytes datagram,
                                           enum session_packet_type *ret_type, uint32_t *ret_index)
{
    const uint8_t *data = datagram.data;
    if (datagram.size < SESSION_HEADER_BYTES)
        return SESSION_MALFORMED;
    if (data[0] < SESSION_FIRST || data[0] > SESSION_DATA)
        return SESSION_MALFORMED;
    if (data[1] != SESSION_VERSION)
        return SESSION_OTHER_VERSION;
    if (data[2] != 0 || data[3] != 0 || !size_is_possible(data[0], datagram.size))
        return SESSION_MALFORMED;
    *ret_type = data[0];
    *ret_index = (uint32_t)get_be(data + 4, 4);
    return SESSION_ACCEPTED;
}

void session_first_encode(const struct session_first *first,
                          uint8_t ret[SESSION_FIRST_INSIDE_BYTES])
{
    size_t room = SESSION_FIRST_INSIDE_BYTES - SESSION_FIRST_FIELDS_BYTES;
    assert(first->chain.size <= room);
    assert(first->payload.size <= room - first->chain.size);

    memset(ret, 0, SESSION_FIRST_INSIDE_BYTES);
    ret = put_be(ret, first->stamp.generation, 8);
    ret = put_be(ret, first->stamp.counter, 8);
    ret = put_be(ret, first->chain.size, 2);
    ret = put_be(ret, first->payload.size, 2);
    memcpy(ret, first->chain.data, first->chain.size);
    if (first->payload.size > 0)
        memcpy(ret + first->chain.size, first->payload.data, first->payload.size);
}

int session_first_decode(struct bytes inside, struct session_first *ret)
{
    if (inside.size != SESSION_FIRST_INSIDE_BYTES)
        return -EBADMSG;
    const uint8_t *data = inside.data;
    size_t chain_size = (size_t)get_be(data + 16, 2), payload_size = (size_t)get_be(data + 18, 2);
    size_t room = SESSION_FIRST_INSIDE_BYTES - SESSION_FIRST_FIELDS_BYTES;
    if (chain_size > room || payload_size > room - chain_size)
        return -EBADMSG;
    const uint8_t *chain = data + SESSION_FIRST_FIELDS_BYTES;
    *ret = (struct session_first){
        .stamp = {.generation = get_be(data, 8), .counter = get_be(data + 8, 8)},
        .chain = {chain, chain_size},
        .payload = {chain + chain_size, payload_size},
    };
    return 0;
}

void session_answer_encode(
    const struct session_answer *answer,
    uint8_t ret[SESSION_ANSWER_FIELDS_BYTES + SESSION_ANSWER_PAYLOAD_BYTES_MAX])
{
    assert(answer->payload.size <= SESSION_ANSWER_PAYLOAD_BYTES_MAX);
    ret = put_be(ret, answer->sender_index, 4);
    ret = put_be(ret, answer->generation, 8);
    if (answer->payload.size > 0)
        memcpy(ret, answer->payload.data, answer->payload.size);
}

int session_answer_decode(struct bytes inside, struct session_answer *ret)
{
    if (inside.size < SESSION_ANSWER_FIELDS_BYTES)
        return -EBADMSG;
    *ret = (struct session_answer){
        .sender_index = (uint32_t)get_be(inside.data, 4),
        .generation = get_be(inside.data + 4, 8),
        .payload = {inside.data + SESSION_ANSWER_FIELDS_BYTES,
                    inside.size - SESSION_ANSWER_FIELDS_BYTES},
    };
    return 0;
}

void session_data_header_encode(uint32_t index, uint64_t counter,
                                uint8_t ret[SESSION_DATA_HEADER_BYTES])
{
    session_header_encode(SESSION_DATA, index, ret);
    put_be(ret + SESSION_HEADER_BYTES, counter, 8);
}

uint64_t session_data_counter(struct bytes datagram)
{
    assert(datagram.size >= SESSION_DATA_HEADER_BYTES);
    return get_be(datagram.data + SESSION_HEADER_BYTES, 8);
}
