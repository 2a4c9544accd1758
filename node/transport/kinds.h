/* What a stream is for: the first byte of its OPEN frame. Each kind's header and bytes are
 * described where the kind is served. Numbers are part of the protocol: never reused.
 */
#pragma once

enum stream_kind {
    STREAM_MESSAGES = 0, /* links.c: one-way control messages between peers */
    STREAM_JOIN = 1,     /* the only kind that a link by token may open */
    STREAM_API = 2,      /* MessagePack-RPC, for operators and peers */
    STREAM_MESH = 3,     /* one TCP connection to a replica on the other peer */
    STREAM_BLOB = 5,     /* an image's blob, pulled */
    STREAM_RELAY = 7,    /* to be joined to a RELAYED one to the peer that the header names */
    STREAM_RELAYED = 8,  /* a link from the peer that the header names: see links_relay.c */
    STREAM_SHARE = 9,    /* which of some blobs are here, now and as they come */
};
