/* Every limit of consensus/, in one place. */
#pragma once

enum {
    INTENT_SERVICE_NAME_BYTES_MAX = 127, /* stack + "_" + service */
    INTENT_ACTOR_BYTES_MAX = 63,
    INTENT_VERSION_BYTES_MAX = 31, /* of consort's version */
    INTENT_KIND_BYTES_MAX = 15,
    INTENT_REASON_BYTES_MAX = 1023,
    INTENT_PLACE_REASON_BYTES_MAX = 255, /* there are thousands of these */
    INTENT_TOKEN_ID_BYTES = 16,
    INTENT_TOKEN_PSK_BYTES = 32,
    INTENT_REVISIONS_MAX = 10,      /* remembered, beside those that replicas still run */
    INTENT_REVISIONS_HARD_MAX = 64, /* with those */
    INTENT_CLIENTS_MAX = 1024,
    INTENT_HISTORY_MAX = 512,
    INTENT_SUCCESSIONS_MAX = 64, /* who misses more changes of the voters than that joins again */
    INTENT_EPOCH_SHIFT = 40,     /* an epoch has 2^40 log indices and terms of its own */
    INTENT_EPOCH_MAX = 1 << 22,  /* numbers of epochs: indices and terms stay below INT64_MAX */
    INTENT_EPOCH_SKIP = 1000000, /* serials and generations that a new epoch leaves out, and … */
    INTENT_EPOCH_SKIP_EACH = 10000, /* … more by its voter, should two begin one of one number */
    INTENT_PEERS_MAX = 20000,
    INTENT_PROBE_INTERVAL_MS_MIN = 100, /* these are gossip's own bounds: node/ checks that */
    INTENT_PROBE_INTERVAL_MS_MAX = 60 * 1000,
    INTENT_SUSPICION_MAX = 20,
    INTENT_FANOUT_MAX = 8,
    INTENT_TOKENS_MAX = 256,
    INTENT_SERVICES_MAX = 4096,
    INTENT_REPLICAS_MAX = 65536,
    INTENT_VIRTUAL_IP_FIRST = 2,
    INTENT_VIRTUAL_IP_LAST = 65534,
    INTENT_QUOTAS_MAX = 1024,
    INTENT_BLOBS_MAX = 4096,
    INTENT_BLOB_BYTES_MAX = 512 * 1024,
    INTENT_SEAL_BYTES = 16,   /* by which a sealed secret is longer than what is in it */
    INTENT_WRAP_BYTES = 80,   /* of a key that is sealed to a peer */
    INTENT_WRAPS_MAX = 32768, /* of all secrets */
    INTENT_BLOBS_BYTES_MAX = 8 * 1024 * 1024, /* of all contents: half of a snapshot */
    COMMAND_BYTES_MAX = 4 * 1024 * 1024,
    COMMAND_PLACE_CHANGES_MAX = 1024,
    COMMAND_DEPLOY_SERVICES_MAX = 512,
    COMMAND_DEPLOY_BLOBS_MAX = 512,
    COMMAND_SEAL_CHANGES_MAX = 1024,
    SPEC_LIST_ITEMS_MAX = 1024,
    SPEC_TEXT_BYTES_MAX = 32 * 1024,
    SPEC_OOM_SCORE_MAX = 1000, /* the kernel's own bound */
    RAFT_MEMBERS_MAX = 16,     /* voters old and new, and learners */
    RAFT_SEAL_SIGNATURE_BYTES = 64,
    RAFT_ENTRY_BYTES_MAX = 4 * 1024 * 1024, /* one command */
    RAFT_SNAPSHOT_BYTES_MAX = 16 * 1024 * 1024,
    RAFT_MESSAGE_ENTRIES_MAX = 1024,     /* in one append */
    RAFT_MESSAGE_BYTES_MAX = 512 * 1024, /* entries' data in one append of several */
    RAFT_CHUNK_BYTES_MAX = 128 * 1024,   /* of a snapshot in one message */
    RAFT_CHUNKS_INFLIGHT_MAX = 4,        /* unacknowledged chunks to one follower */
    RAFT_HASH_BYTES = 32,                /* of a snapshot's data */
    RAFT_MESSAGE_FRAME_BYTES_MAX = RAFT_ENTRY_BYTES_MAX + 64 * 1024, /* an encoded message */
    RAFT_UNCOMMITTED_BYTES_MAX = 16 * 1024 * 1024,
    RAFT_INFLIGHT_MAX = 64, /* unacknowledged appends to one follower */
    RAFT_READS_MAX = 256,   /* reads that wait for a heartbeat's quorum, or for the leader */
    RAFT_FORWARDED_READS_EACH_MAX = 4, /* questions of one peer that wait at the leader */
    RAFT_FORWARDED_READS_MAX = RAFT_FORWARDED_READS_EACH_MAX * RAFT_MEMBERS_MAX,
    RAFT_ELECTION_TIMEOUT_MS = 900,
    RAFT_ELECTION_TIMEOUT_MAX_MS = 1500,
    RAFT_HEARTBEAT_MS = 400,
    RAFT_SNAPSHOT_TIMEOUT_MS = 5000,
    RAFT_CLOCK_DRIFT_PERMILLE = 100, /* of the lease is left for clocks' drift */

    /* What a spec says when the Compose file says nothing. */
    SPEC_STOP_GRACE_MS_DEFAULT = 10000,
    SPEC_HEALTH_INTERVAL_MS_DEFAULT = 30000,
    SPEC_HEALTH_TIMEOUT_MS_DEFAULT = 30000,
    SPEC_HEALTH_START_INTERVAL_MS_DEFAULT = 5000,
    SPEC_HEALTH_RETRIES_DEFAULT = 3,
    SPEC_RESTART_DELAY_MS_DEFAULT = 500, /* doubles with each crash */
    SPEC_MONITOR_MS_DEFAULT = 5000,
};
