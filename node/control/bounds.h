/* Every limit of node/control/, in one place. */
#pragma once

enum {
    VIEW_LABELS_BYTES_MAX = 255,
    VIEW_DETAIL_BYTES_MAX = 511,
    VIEW_VERSION_BYTES_MAX = 31,
    CONTROL_TRUST_MS = 2000,  /* up so long, one without a health check is trusted to serve */
    CONTROL_ABSENT_MS = 2000, /* a stopped one that nobody reports so long is gone */
    CONTROL_UNKNOWN_PEER_MS = 15000, /* a peer nobody has heard of counts as dead after so long */
    CONTROL_MINORITY_MS = 5000,      /* without a quorum, before anybody stands in: longer than any
                                        election takes */
    HOLDERS_AHEAD_PEERS_MAX = 16,    /* in larger fleets no secret is sealed to who may stand in */
    CONTROL_GIVE_BACK_MS = 5 * 60 * 1000, /* with a quorum, a stand-in ends by then in any case */
    CONTROL_CRASHES_MAX = 2,              /* restarts after which a new replica counts as failed */
    CONTROL_SPREADS_MAX = 4,              /* spread preferences that are looked at */

    AGENT_EVENT_TEXT_BYTES_MAX = 320,
    AGENT_DIGEST_TEXT_BYTES = 7 + 64 + 1, /* "sha256:", digits, NUL */
    AGENT_PENDING_MAX = 4096,             /* proposals under way */
    AGENT_PROPOSE_TIMEOUT_MS = 10000,  /* then the proposer is told that the outcome is unknown */
    AGENT_READS_MAX = 4096,            /* consistent reads under way */
    AGENT_READ_TIMEOUT_MS = 5000,      /* then the reader is told that there is no quorum */
    AGENT_READ_ROUND_MS = 500,         /* for a voter to answer, before another is asked */
    AGENT_READ_RETRY_MS = 100,         /* after what came to nothing */
    AGENT_PROPOSE_HOPS_MAX = 3,        /* from one peer that does not lead to another */
    AGENT_GONE_CAMPAIGN_MS = 20,       /* so that other voters know, too, that the leader is gone */
    AGENT_GONE_CAMPAIGN_EACH_MS = 150, /* then the next voter stands for election */
    AGENT_STEADY_MS = 30 * 1000, /* who was started so lately while others led may do so again */
    AGENT_RELUCTANT_INTERVAL_MS = 1000, /* between looks at whether this peer had better not lead */
    AGENT_POOR_HEALTH = 4,              /* of SWIM's 8: so slow that others should lead */
    AGENT_GONE_CAMPAIGNS = 3, /* each voter's, while nobody leads; then Raft's own timeouts do */
    AGENT_VOTERS_DEFAULT = 5,
    AGENT_VOTER_REPLACE_MS_DEFAULT =
        10 * 60 * 1000,                            /* dead for longer than any machine's restart */
    AGENT_VOTER_SETTLE_MS_DEFAULT = 2 * 60 * 1000, /* who is up so long does not come and go */
    AGENT_VOTER_MOVE_MS_DEFAULT = 10 * 60 * 1000, /* between two voters that move to another zone */
    VOTERS_REASON_BYTES_MAX = 511,
    VOTERS_DISK_ENOUGH_MIB = 256,  /* free where the data directory is: who has less comes last */
    VOTERS_DISK_FULL_MIB = 64,     /* a voter that has less gives its vote to one that has enough */
    AGENT_VOTER_INTERVAL_MS = 500, /* between looks at who should vote */
    AGENT_VOTER_CATCH_UP_MS = 60000,  /* that a learner has for it, before another is tried */
    AGENT_VOTER_LAG_MAX = 64,         /* entries that a learner may lack when promoted */
    AGENT_HOLDING_INTERVAL_MS = 1000, /* between looks at whether most voters are gone */
    AGENT_MINORITY_INTERVAL_MS = 500, /* between looks at who should stand in for whom */
    AGENT_LEASE_MS_DEFAULT = 6000,
    AGENT_LEASE_ASKS = 4,     /* times that a lease is asked for within its length */
    AGENT_NAMESAKES_MAX = 32, /* pairs of peers with one name that are told */
    AGENT_COMPACT_ENTRIES_DEFAULT = 512,
    AGENT_COMPACT_KEEP = 128, /* entries kept behind a snapshot, for slow followers */
    AGENT_COMPACT_BYTES_DEFAULT = 32 * 1024 * 1024, /* of entries' data, however few they are */
    AGENT_COMPACT_KEEP_PART = 4,                    /* at most a fourth of that is kept */
    FEED_RECENT_ENTRIES_MAX = 1024, /* kept in memory to serve peers that lag a little */
    FEED_RECENT_BYTES_MAX = 1024 * 1024,
    FEED_STATE_EACH_ENTRIES = 256,      /* a whole intent is offered anew after so many … */
    FEED_STATE_EACH_BYTES = 256 * 1024, /* … or that much: half of what half of the above keeps */
    FEED_STATE_BYTES_MAX = 17 * 1024 * 1024, /* RAFT_SNAPSHOT_BYTES_MAX and some room */
    FEED_PART_BYTES = 64 * 1024,             /* of a whole intent, in one message */
    FEED_PARTS_MAX = FEED_STATE_BYTES_MAX / FEED_PART_BYTES,
    FEED_FETCH_STALLED_MS = 2000,      /* no part came: another intent may be fetched instead */
    FEED_FETCH_MS_MAX = 5 * 60 * 1000, /* for all parts */
    FEED_SERVE_BURST_BYTES = 2 * 1024 * 1024, /* answered at once, and then … */
    FEED_SERVE_BYTES_PER_SECOND = 8 * 1024 * 1024,
    FEED_SERVE_BYTES_MIN = 1024, /* that any answer counts for */
    FEED_LEADER_EACH_TRIES =
        4,                   /* the leader is asked by one question in so many, and not at first */
    FEED_SIGN_EACH_MS = 100, /* a head at most: who does not vote is behind by that */
    FEED_RETRY_MS = 500,     /* before another peer is asked */
    FEED_PULL_DELAY_MS = 50, /* for Raft to bring it first, where it does */
    FEED_HINT_RETRY_MS = 5000,   /* for what nobody says whom we know to vote */
    FEED_STORED_COMPACTIONS = 8, /* what the log is cut after so many times may be stored behind the
                                    intent, before that is stored anew; … */
    FEED_STORED_ENTRIES_MAX = FEED_STORED_COMPACTIONS * AGENT_COMPACT_ENTRIES_DEFAULT,
    FEED_STORED_BYTES_MIN = 64 * 1024, /* … or as many bytes as it has itself, but no fewer */
    FEED_STORED_ENTRY_BYTES = 64,      /* that each counts for besides its data */
    FEED_HASH_BYTES = 32,
};
