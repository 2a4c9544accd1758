/* Bounds of the peer's own I/O: links, streams, packets, storage.
 *
 * What a stranger can make a peer hold before it has proved who it is: LINK_HALF_OPEN_MAX links of
 * LINK_HANDSHAKE_BYTES_MAX for LINK_HANDSHAKE_MS. What an admitted peer can: MUX_STREAMS_MAX
 * streams of MUX_WINDOW_BYTES a link, and LINKS_PER_PEER_MAX links.
 */
#pragma once

enum {
    /* Streams over one link. */
    MUX_WINDOW_BYTES = 256 * 1024, /* received and not yet consumed, a stream */
    MUX_QUEUE_BYTES = 256 * 1024,  /* written and not yet sent, a stream */
    MUX_CHUNK_BYTES = 16 * 1024,   /* of one stream before the next has its turn */
    MUX_HEADER_BYTES_MAX = 4096,   /* what a stream opens with */
    MUX_FRAME_HEAD_BYTES = 5,
    MUX_FRAME_BYTES_MAX = MUX_FRAME_HEAD_BYTES + MUX_CHUNK_BYTES,
    MUX_STREAMS_MAX = 1024, /* a direction of one link */
    MUX_PING_MS = 2000,     /* silence after which the other side is asked for a sign of life */
    MUX_DEAD_MS = 5000,     /* silence after which the link is dead */
    MUX_REST_MS = 120000,   /* as MUX_PING_MS, while nobody waits for anything; NATs forget later */
    MUX_TICK_MS = 500,      /* how often the silence is looked at */
    MUX_REST_TICK_MS = 5000, /* … while nobody waits for anything */

    /* One encrypted TCP link. */
    LINK_PROTOCOL_VERSION = 1,
    LINK_HANDSHAKE_MS = 10000,
    LINK_HANDSHAKE_BYTES_MAX = 8 * 1024, /* one message of it; a certificate chain is under 1 KB */
    LINK_MESSAGE_BYTES_MAX = 65535,      /* Noise's own limit, with the tag */
    LINK_OUTPUT_BYTES = 128 * 1024,      /* sealed and not yet with the kernel: then streams wait */
    LINK_REKEY_MESSAGES = 1 << 16,       /* messages under one key, a direction */
    LINK_LINGER_MS = 1000,               /* for the last bytes of a link that closes */
    LINK_HALF_OPEN_MAX = 64,             /* incoming links in a handshake */
    LINK_BACKLOG = 128,
    LINK_UNSENT_BYTES = 128 * 1024, /* in the kernel: a ping must not wait behind megabytes */
    LINK_WRITES_AT_ONCE = 4,        /* before the loop has its turn */

    /* The links of one peer. */
    LINKS_PEERS_MAX = 16384,
    LINKS_MAX = 4096,         /* open links, all peers together */
    LINKS_PER_PEER_MAX = 4,   /* of one remote id: more close the oldest */
    LINKS_GREETINGS_MAX = 16, /* links being dialed to addresses of unknown peers */
    LINKS_RELAYS_MAX = 64,    /* begun by others: passed on, or links to here */
    LINKS_RELAYS_PER_PEER_MAX = 8,
    LINKS_RELAY_BYTES = 4 * 1024 * 1024, /* a second, passed on by one relay, both ways together */
    LINKS_HELPERS_MAX = 4,               /* peers through which a link is tried, in turn */
    LINKS_DIRECT_RETRY_MS = 60000, /* a relayed link: whether a direct one can be had by now */
    LINKS_REFUSAL_MS = 60000, /* a refusal is told for so long; dials come more often than that */
    LINKS_IDLE_MS = 60000,    /* without a stream, after which a link says goodbye */
    LINKS_TIE_MS = 2000,      /* two links opened within this were dialed by both sides at once */
    LINKS_BACKOFF_MS = 250,   /* first wait after a failed dial; doubles */
    LINKS_BACKOFF_MAX_MS = 8000,
    LINKS_LOOK_AGAIN_MS = 10, /* whether a vital peer is gone, that resets a dial; doubles, … */
    LINKS_LOOKS_MAX = 6,      /* … so often */
    LINKS_MESSAGE_BYTES_MAX = 5 * 1024 * 1024, /* one control message: one command, and some room */
    LINKS_SMALL_BYTES_MAX = 64 * 1024,         /* larger ones have a stream of their own */
    LINKS_MESSAGE_QUEUE_BYTES = 4 * 1024 * 1024, /* queued on one stream; the oldest go first */
    LINKS_MESSAGE_STALL_MS = 10000, /* a message stream that takes nothing this long is reset */

    /* Faults made on purpose. */
    FAULT_CUTS_MAX = 64,

    /* The store. */
    STORE_MAP_BYTES_DEFAULT = 512 * 1024 * 1024,
    STORE_KEY_BYTES_MAX = 128,
    STORE_VALUE_BYTES_MAX = 64 * 1024 * 1024,
    STORE_CHECKSUM_BYTES = 16,
    STORE_BATCH_OPERATIONS_MAX = 1 << 16,
};
