/* Bounds of gossip: what a peer accepts from others and what it keeps, at most.
 *
 * They are chosen so that a worst case can be read off: a peer's memory for one other peer is at
 * most SWIM_RECORDS_PER_OWNER_MAX records of SWIM_FACT_BYTES_MAX, and for all of them
 * SWIM_RECORDS_MAX of those.
 */
#pragma once

enum {
    /* Members and records. */
    SWIM_MEMBERS_MAX = 10000, /* peers known, those that died or left included */
    SWIM_REVOKED_MAX = 10000, /* ids that are ignored for good */
    SWIM_GRAVES_MAX = 4096,   /* forgotten peers whose old rumours are still refused; the newest */
    SWIM_SEEDS_MAX = 32,      /* addresses to join by */
    SWIM_KEY_BYTES_MAX = 64,  /* one record's key */
    SWIM_VALUE_BYTES_MAX = 900,        /* one record's value */
    SWIM_FACT_BYTES_MAX = 1120,        /* one signed fact on the wire; the largest is a record */
    SWIM_RECORDS_PER_OWNER_MAX = 4096, /* one peer's records, withdrawn ones included */
    SWIM_RECORDS_MAX = 400000,         /* all peers' records together */

    /* Suspicion and probing. */
    SWIM_ACCUSERS_MAX = 8,                          /* accusations kept about one member */
    SWIM_CONFIRMATIONS_MAX = SWIM_ACCUSERS_MAX - 1, /* accusers beyond the first that count */
    SWIM_HELPERS_MAX = 8,             /* peers asked to probe on our behalf, for one probe */
    SWIM_FANOUT_MAX = 8,              /* peers that rumours are sent to at one time */
    SWIM_PROBES_MAX = 16,             /* probes of our own under way */
    SWIM_TARGETS_PER_PROBE = 4,       /* up to so many others, one probe an interval is enough */
    SWIM_RELAYS_MAX = 64,             /* probes under way on behalf of others */
    SWIM_PINGS_MAX = 256,             /* an operator's pings under way */
    SWIM_PING_TIMEOUT_MS = 2000,      /* after which one of those is lost */
    SWIM_PROBE_INTERVAL_MS_MIN = 100, /* what an operator may set, see swim_config_tune() */
    SWIM_PROBE_INTERVAL_MS_MAX = 60 * 1000,
    SWIM_SUSPICION_MAX = 20,
    SWIM_HEALTH_MAX = 8, /* Lifeguard's local health multiplier, and a member's misses */

    /* Paths: how members are reached (swim_path.c). */
    SWIM_PATH_MISSES = 3,        /* probes in a row without a direct answer, before we say so */
    SWIM_LONE_HELPER_PROBES = 4, /* for so many is one helper alone believed */
    SWIM_PATH_SWITCH = 2,        /* probes in a row that only the other address answered */
    SWIM_SIGHTINGS_MAX = 4,      /* peers whose word about our own address is kept */
    SWIM_SIGHTINGS_WANTED = 2,   /* of them, before it is believed, where there are so many */
    SWIM_CONTACTS_MAX = 3,       /* peers that one behind NAT keeps a way open to */
    SWIM_KEEPALIVE_MS = 25000,   /* NATs forget a UDP flow after 30 s at the earliest (Linux's) */

    /* What a member's word is worth (swim_trust.c). */
    SWIM_LONE_ACCUSATIONS_MAX = 8, /* of one accuser's, refuted or open: then it is not heard … */
    SWIM_LONE_ACCUSATION_MS = 30000, /* … until one of them is this old */
    SWIM_RELAYS_PER_ORIGIN_MAX = 16, /* an honest peer has no more probes under way */
    SWIM_OWNER_NEWS_BURST = 4096, /* one owner's records that are taken at once: all of them, … */
    SWIM_OWNER_NEWS_PER_SECOND = 64, /* … and afterwards */
    SWIM_VAIN_DOUBLINGS_MAX = 10,    /* of the wait after claims that came to nothing */
    SWIM_ANSWERED_MAX = 16,          /* peers that were answered within a gossip interval */

    /* Messages. */
    SWIM_PACKET_BYTES_MIN = 256,     /* the least that packet_bytes_max may be */
    SWIM_PACKET_BYTES_LIMIT = 65536, /* the most */
    SWIM_PACKET_FACTS_MAX = 64,      /* facts in one packet */
    SWIM_TOLD_PACKETS_MAX = 16,      /* of rumours to one peer at a time, when many died */
    SWIM_PACKET_DIGESTS_MAX = 16,    /* digest entries in one packet */
    SWIM_VIEW_MEMBERS_MAX = 256,     /* of so many, pings tell a hash of what is known */
    SWIM_RUMORS_MAX = 4096,          /* facts queued to ride on packets, of each class */
    SWIM_BUDGET_BUCKETS = 32,        /* peers of whom it is remembered how much they use */

    /* One owner's records that become rumours; more of them are left to anti-entropy. Some hundred
     * replicas that change at once are within it. */
    SWIM_OWN_SENDS_MAX = 12, /* of a record by its owner: the others carry it on */
    SWIM_RUMOR_BURST_BYTES = 262144,
    SWIM_RUMOR_BYTES_PER_SECOND = 16384,

    /* What one peer gets out of us by anti-entropy. */
    SWIM_SYNC_BURST_BYTES = 4194304,
    SWIM_SYNC_BYTES_PER_SECOND = 262144,

    /* What one peer makes us look at, in packets and by anti-entropy. No honest one comes near it:
     * it gives each asker as much as stands above, and what it says in packets is far less. */
    SWIM_TOLD_BURST_BYTES = 2 * SWIM_SYNC_BURST_BYTES,
    SWIM_TOLD_BYTES_PER_SECOND = 2 * SWIM_SYNC_BYTES_PER_SECOND,

    SWIM_SYNC_ENTRIES_MAX = 1024,   /* digest entries in one sync message */
    SWIM_SYNC_BYTES_MAX = 131072,   /* facts in one sync message, in bytes */
    SWIM_SYNC_RANGES_MAX = 16,      /* ranges in one summary */
    SWIM_STREAM_BYTES_MAX = 262144, /* one sync message */
};

/* Identity, handshakes and packet sessions. Sizes are bytes on the wire, times monotonic. */
enum {
    /* Certificates (certificate.h). */
    CERTIFICATE_CHAIN_COUNT_MAX = 4,
    CERTIFICATE_CHAIN_BYTES_MAX = 776, /* encoded, four certificates with the longest names */

    /* Noise (noise.h); the first is the framework's own limit. */
    NOISE_MESSAGE_BYTES_MAX = 65535,
    NOISE_TAG_BYTES = 16,

    /* Join tokens (token.h). */
    TOKEN_ADDRESS_COUNT_MAX = 4,
    TOKEN_TEXT_BYTES_MAX = 256, /* with the NUL */

    /* Packet sessions (session.h). Datagrams pass any IPv6 path (1,280 bytes) with room to spare.
     */
    SESSION_DATAGRAM_BYTES_MAX = 1200,
    SESSION_DATA_OVERHEAD_BYTES = 32,
    SESSION_PAYLOAD_BYTES_MAX = SESSION_DATAGRAM_BYTES_MAX - SESSION_DATA_OVERHEAD_BYTES,
    SESSION_FIRST_OVERHEAD_BYTES = 156, /* of a first packet, without the certificate chain */
    SESSION_FIRST_PAYLOAD_BYTES_MIN = /* what always fits a first packet, however long the chain */
    SESSION_DATAGRAM_BYTES_MAX - SESSION_FIRST_OVERHEAD_BYTES - CERTIFICATE_CHAIN_BYTES_MAX,

    SESSION_PEERS_MAX = 10000, /* peers remembered, unless configured */
    /* All that is remembered of them, as the heap is asked for it, unless configured. A settled
     * peer takes some 700 bytes, so 10,000 of them and a few thousand handshakes under way fit. */
    SESSION_TABLE_BYTES_MAX = 10 * 1024 * 1024,
    SESSION_KEYS_PER_PEER = 4,        /* previous, current, next, and one for simultaneous firsts */
    SESSION_INITIATIONS_PER_PEER = 4, /* first packets whose answers are awaited */
    SESSION_REPLAY_WINDOW_BITS = 2048,

    /* Rekeying is hourly: in a large fleet two peers rarely talk more often than every few minutes,
     * so WireGuard's two minutes would turn nearly every probe into a handshake. */
    SESSION_REKEY_AFTER_MS = 60 * 60 * 1000,
    SESSION_REKEY_RETRY_MS = 1000,
    SESSION_HANDSHAKE_TIMEOUT_MS = 10 * 1000,
    SESSION_OVERLAP_MS = 120 * 1000, /* older keys serve so long beside new ones that both use */
    SESSION_SILENCE_MS = 100, /* unanswered for so long: the peer may have lost the keys. A probe's
                               * second try is later, so that it reaches one that restarted */
    SESSION_SIMULTANEOUS_MS = 10 * 1000, /* keys this close together come from crossed firsts */

    /* Load from strangers (session_guard.h). */
    SESSION_HANDSHAKES_PER_SECOND = 100, /* above it, first packets need a cookie */
    SESSION_SOURCE_HANDSHAKES_PER_SECOND = 20,
    SESSION_PROVEN_HANDSHAKES_PER_SECOND = 200, /* of all sources beyond each one's first */
    SESSION_SOURCE_BUCKETS = 1024,
    SESSION_COOKIE_LIFE_MS = 120 * 1000,
};

#define SESSION_REKEY_AFTER_MESSAGES (UINT64_C(1) << 32)
