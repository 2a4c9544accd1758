/* What the daemon and the mesh process say to each other, after the word. The process is what
 * strangers reach, so the daemon does not believe it either. */
#include <assert.h>
#include <stdint.h>

#include "node/mesh_process/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each makes bytes of what it read: the same ones make the same again. */
static int greeting_again(struct bytes body, struct buffer *ret)
{
    struct mesh_greeting greeting;
    int rc = greeting_decode(body, &greeting);
    return rc < 0 ? rc : greeting_encode(&greeting, ret);
}

static int state_again(struct bytes body, struct buffer *ret)
{
    struct mesh_state state;
    int rc = state_decode(body, &state);
    if (rc < 0)
        return rc;
    rc = state_encode(&state, ret);
    state_done(&state);
    return rc;
}

static int link_again(struct bytes body, struct buffer *ret)
{
    struct link_given given;
    int rc = link_given_decode(body, &given);
    if (rc < 0)
        return rc;
    rc = link_given_encode(&given, ret);
    link_given_done(&given);
    return rc;
}

static int status_again(struct bytes body, struct buffer *ret)
{
    struct mesh_status status;
    int rc = status_decode(body, &status);
    if (rc < 0)
        return rc;
    rc = status_encode(&status, ret);
    status_done(&status);
    return rc;
}

static int socket_again(struct bytes body, struct buffer *ret)
{
    enum mesh_socket kind;
    uint16_t port;
    int rc = socket_word_decode(body, &kind, &port);
    return rc < 0 ? rc : socket_word_encode(kind, port, ret);
}

static int peer_again(struct bytes body, struct buffer *ret)
{
    struct id peer;
    int reason;
    int rc = peer_word_decode(body, &peer, &reason);
    return rc < 0 ? rc : peer_word_encode(&peer, reason, ret);
}

static int (*again_of(uint8_t word))(struct bytes body, struct buffer *ret)
{
    switch (word) {
    case WORD_GREETING:
        return greeting_again;
    case WORD_STATE:
        return state_again;
    case WORD_LINK:
        return link_again;
    case WORD_STATUS:
        return status_again;
    case WORD_SOCKET:
        return socket_again;
    default:
        return peer_again;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_buffer struct buffer once = {0}, twice = {0};
    if (size == 0)
        return 0;
    int (*again)(struct bytes, struct buffer *) = again_of(data[0]);
    if (again((struct bytes){data + 1, size - 1}, &once) < 0)
        return 0;
    assert(again(buffer_view(&once), &twice) == 0);
    assert(bytes_equal(buffer_view(&once), buffer_view(&twice)));
    return 0;
}
