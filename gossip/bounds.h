/* Bounds of gossip: what a peer accepts from others and what it keeps, at most.
 *
 * They are chosen so that a worst case can be read off: a peer's memory for one other peer is at
 * most SWIM_RECORDS_PER_OWNER_MAX records of SWIM_FACT_BYTES_MAX, and for all of them
 * SWIM_RECORDS_MAX of those.
 */
#pragma once

enum {
    /* Members and records. */
    SWIM_MEMBERS_MAX = 10000,          /* peers known, those that died or left included */
    SWIM_REVOKED_MAX = 10000,          /* ids that are ignored for good */
    SWIM_GRAVES_MAX = 4096,            /* forgotten peers whose old rumours are still refused */
    SWIM_SEEDS_MAX = 32,               /* addresses to join by */
    SWIM_KEY_BYTES_MAX = 64,           /* one record's key */
    SWIM_VALUE_BYTES_MAX = 900,        /* one record's value */
    SWIM_FACT_BYTES_MAX = 1120,        /* one signed fact on the wire; the largest is a record */
    SWIM_RECORDS_PER_OWNER_MAX = 4096, /* one peer's records, withdrawn ones included */
    SWIM_RECORDS_MAX = 400000,         /* all peers' records together */

    /* Suspicion and probing. */
    SWIM_ACCUSERS_MAX = 8,      /* accusations kept about one member */
    SWIM_CONFIRMATIONS_MAX = 7, /* accusers beyond the first that can shorten a suspicion */
    SWIM_HELPERS_MAX = 8,       /* peers asked to probe on our behalf, for one probe */
    SWIM_PROBES_MAX = 16,       /* probes of our own under way */
    SWIM_RELAYS_MAX = 64,       /* probes under way on behalf of others */
    SWIM_HEALTH_MAX = 8,        /* Lifeguard's local health multiplier, and a member's misses */

    /* Messages. */
    SWIM_PACKET_BYTES_MIN = 512,     /* the least that packet_bytes_max may be */
    SWIM_PACKET_BYTES_LIMIT = 65536, /* the most */
    SWIM_PACKET_FACTS_MAX = 64,      /* facts in one packet */
    SWIM_PACKET_DIGESTS_MAX = 16,    /* digest entries in one packet */
    SWIM_RUMORS_MAX = 4096,          /* facts queued to ride on packets */
    SWIM_SYNC_ENTRIES_MAX = 1024,    /* digest entries in one sync message */
    SWIM_SYNC_BYTES_MAX = 131072,    /* facts in one sync message, in bytes */
    SWIM_STREAM_BYTES_MAX = 262144,  /* one sync message */
};
