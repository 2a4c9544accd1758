/* Who is there, and what each peer says about itself: SWIM membership (Das, Gupta, Motivala 2002)
 * with Lifeguard (Dadgar, Phillips, Currey 2017), and owner-versioned records that ride on it.
 *
 * A pure state machine: the caller passes the time and one input to swim_step(), and gets back
 * messages to send, events, and the time by which to call again. The same seed and inputs give the
 * same outputs to the byte. Everything that is relayed is signed by whoever says it, so that no
 * peer can speak for another; an accusation counts once for each distinct accuser.
 *
 *     swim_new(&config, now_ms, &swim);
 *     swim_add_seed(swim, NULL, &address);
 *     swim_publish(swim, now_ms, SWIM_TABLE_META, key, value);
 *     swim_step(swim, &input, &output);        then send output.messages, look at output.events
 *
 * What the other calls change is sent with the next step, so step with SWIM_TICK after them.
 * Pointers to records stay valid until the next call that takes a struct swim * that is not const.
 * Times are milliseconds of the caller's monotonic clock, which should go on while the machine is
 * suspended: that is how we notice that we slept. docs/protocol.md has the wire format.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buffer.h"
#include "base/id.h"
#include "gossip/bounds.h"
#include "gossip/swim_counters.h"

struct fact_pool;
struct identity;
struct swim;

/* What a record is about. The owner of a record is the peer that it describes. */
enum swim_table {
    SWIM_TABLE_META,     /* name, version, labels */
    SWIM_TABLE_CAPACITY, /* capacity and load */
    SWIM_TABLE_REPLICA,  /* the state of a replica that runs there */
    SWIM_TABLE_ENDPOINT, /* where a replica takes traffic */
    SWIM_TABLE_IMAGE,    /* an image or blob that others may fetch there */
    SWIM_TABLE_FEED,     /* the newest intent that it knows or signs */
    SWIM_TABLE_LEASE,    /* leases that it holds or renews */
    SWIM_TABLE_COUNT,
};

struct swim_config {
    struct id self;
    const struct identity *identity; /* self's key; borrowed for swim's lifetime */
    uint32_t generation;             /* boot counter, persisted, higher at each start; at least 1 */
    uint64_t seed;
    struct address advertised; /* where others reach us */

    /* Whether `id` may be a member (asked before one is added); NULL admits everyone. */
    bool (*admits)(void *context, const struct id *id);
    void *admits_context;

    /* How many bytes the next packet to `to` can carry, at most packet_bytes_max and no less than
     * SWIM_PACKET_BYTES_MIN; NULL if that is always packet_bytes_max. */
    size_t (*packet_room)(void *context, int64_t now_ms, const struct id *to);
    void *packet_room_context;

    /* Shares the bytes of verified facts with other instances in this process; NULL for a pool of
     * its own. Borrowed; must outlive swim. */
    struct fact_pool *pool;

    /* Probing. `probes` members are probed each interval (`alert_probes` while anybody is
     * suspected), each directly, from the timeout on also through `helpers` others, and with the
     * window's end it has failed. All waits are multiplied while our own health is bad (Lifeguard).
     */
    uint32_t probe_interval_ms;
    uint32_t probes;
    uint32_t alert_probes;
    uint32_t probe_timeout_ms;
    uint32_t probe_window_ms;
    uint32_t helpers;

    /* A suspect is dead after min..max times log10(members) probe windows: the minimum once
     * `confirmations` peers beyond the first accuse it, the maximum while one alone does. */
    uint32_t suspicion_min_multiplier;
    uint32_t suspicion_max_multiplier;
    uint32_t confirmations;

    /* Rumours. Each is sent retransmit_multiplier * log2(members) times, on every packet and on
     * packets of their own to `gossip_fanout` peers each interval. */
    uint32_t gossip_interval_ms;
    uint32_t gossip_fanout;
    uint32_t retransmit_multiplier;

    uint32_t sync_interval_ms;      /* anti-entropy with a random peer; grows with the fleet */
    uint32_t reconnect_min_ms;      /* the dead are tried again after this long, doubling … */
    uint32_t reconnect_max_ms;      /* … up to this */
    uint32_t pause_ms;              /* a step later than promised by this much: we were paused */
    uint32_t tombstone_ms;          /* withdrawn records are remembered at least this long */
    uint32_t forget_left_ms;        /* peers that left are listed this long */
    uint32_t forget_dead_ms;        /* peers that died are listed and tried this long */
    size_t packet_bytes_max;        /* what fits into one packet */
    size_t members_max;             /* at most SWIM_MEMBERS_MAX */
    uint32_t records_per_owner_max; /* at most SWIM_RECORDS_PER_OWNER_MAX */

    /* SWIM without Lifeguard: no local health, nacks, further accusers, buddies, or notice of
     * pauses, and each suspicion lasts its minimum. Only for the simulator's comparisons. */
    bool plain;
};

/* Profiles. Each sets all but self, identity, generation, seed and advertised, which are zero. The
 * reason of each number stands in swim_config.c; what is said here of 20 members is tested.
 *
 * lan: one site, round trips below 100 ms. All know of a death in 3 seconds.
 * wan: sites joined by the internet, round trips up to 500 ms, a packet in fifty lost: 20 seconds,
 *     for a third of lan's bytes.
 * edge: metered, lossy or battery-fed links, round trips up to 2 s, a packet in ten lost: 90
 *     seconds, for a sixth of lan's bytes. */
struct swim_config swim_config_lan(void);
struct swim_config swim_config_wan(void);
struct swim_config swim_config_edge(void);

/* Values set singly on top of a profile; 0 leaves what it says. What hangs on them follows: the
 * probe's window keeps its ratio to the interval, its timeout shrinks with an interval below the
 * profile's, and the longest suspicion keeps its ratio to the shortest. Out of bounds
 * (SWIM_PROBE_INTERVAL_MS_MIN …), they are -EINVAL and `config` is as it was. */
struct swim_tuning {
    uint32_t probe_interval_ms;
    uint32_t suspicion; /* suspicion_min_multiplier */
    uint32_t fanout;    /* gossip_fanout */
};
int swim_config_tune(struct swim_config *config, const struct swim_tuning *tuning);

/* Takes over what a profile sets: from "Probing" down to reconnect_max_ms. */
void swim_config_take_timings(struct swim_config *config, const struct swim_config *timings);

enum swim_input_type {
    SWIM_TICK,      /* time has passed */
    SWIM_PACKET,    /* a packet came over from's session */
    SWIM_STREAM,    /* a whole stream message came from `from` */
    SWIM_UNREACHED, /* a message to `from` could not be delivered (no session, no connection) */
};

struct swim_input {
    int64_t now_ms;
    int64_t now_us; /* any steady clock, for round trips; 0: there is none finer than now_ms */
    enum swim_input_type type;
    struct id from;        /* who it is, authenticated by the transport */
    struct address source; /* where the packet came from, to reply to */
    struct bytes bytes;    /* borrowed for the call */
};

enum swim_channel {
    SWIM_CHANNEL_PACKET, /* one datagram; may be lost */
    SWIM_CHANNEL_STREAM, /* one message over a connection, opened if there is none */
};

struct swim_message {
    struct id to; /* ID_NONE: whoever answers at the address (a seed whose id is not known) */
    struct address address;
    enum swim_channel channel;
    struct bytes bytes; /* lives in the output */
};

enum swim_state {
    SWIM_ALIVE,
    SWIM_SUSPECT,
    SWIM_DEAD,
    SWIM_LEFT,
};

/* The records of a peer that left are withdrawn with an event each; those of one that is revoked or
 * forgotten go without. */
enum swim_event_type {
    SWIM_MEMBER_JOINED,    /* a peer that was not known is there */
    SWIM_MEMBER_ALIVE,     /* a suspect, dead or left peer is alive (again) */
    SWIM_MEMBER_SUSPECT,   /* `by` accuses it first */
    SWIM_MEMBER_DEAD,      /* `by` is its first accuser */
    SWIM_MEMBER_LEFT,      /* it said so itself */
    SWIM_MEMBER_REVOKED,   /* it is out, with its records, and ignored from now on */
    SWIM_MEMBER_FORGOTTEN, /* dead or left for so long that it and its records are dropped */
    SWIM_MEMBER_CHANGED,   /* its address */
    SWIM_MEMBER_PATH,      /* it is reached in another way now: see `path` and `address` */
    SWIM_RECORD_CHANGED,   /* new, or with another value */
    SWIM_RECORD_WITHDRAWN,
    SWIM_SELF_REFUTED,   /* `by` accused us; a new incarnation says that we are alive */
    SWIM_SELF_OUTRUN,    /* others hold newer words of ours than we do (our disk was lost or put
                            back): `version` >> 32 is the new generation, to be persisted */
    SWIM_SELF_MISPLACED, /* nobody reaches us where we say: `by` and others see us at `address` */
    SWIM_SELF_PLACED,    /* they do (again) */
    SWIM_PONG,           /* `id` answered swim_ping(), through `by` if that is not ID_NONE */
    SWIM_PING_LOST,      /* it did not, within SWIM_PING_TIMEOUT_MS */
};

struct swim_event {
    enum swim_event_type type;
    struct id id;     /* the member, or the record's owner */
    struct id by;     /* the accuser, else ID_NONE */
    uint64_t version; /* the member's incarnation, or the record's version */
    enum swim_table table;
    uint64_t token;  /* a ping's */
    uint32_t rtt_us; /* a pong's round trip, at least 1 */
    bool nacked;     /* a lost ping's: the helper answered, and said that `id` does not */
    enum swim_path path;
    struct address address; /* with SWIM_PATH_LEARNT: where; none else */
    uint8_t key_size;
    uint8_t key[SWIM_KEY_BYTES_MAX];
};

/* What one step asks for. Reusable: each step empties it first and keeps its memory. */
struct swim_output {
    struct swim_message *messages;
    size_t message_count;
    struct swim_event *events;
    size_t event_count;
    int64_t next_deadline_ms; /* call swim_step with SWIM_TICK no later than this */

    size_t message_capacity, event_capacity;
    struct buffer arena; /* the messages' bytes */
};

void swim_output_init(struct swim_output *output);
void swim_output_done(struct swim_output *output);

/* Starts an instance that knows only itself and its own generation. -EINVAL for a configuration
 * out of bounds, -ENOMEM. The caller frees `*ret` with swim_free(). */
int swim_new(const struct swim_config *config, int64_t now_ms, struct swim **ret);
void swim_free(struct swim *swim);

/* Takes one input and does what is due at input->now_ms, which never goes back.
 *
 * -EBADMSG: the bytes make no sense and were not looked at further; what was due was done.
 * -EPERM: `from` is revoked or is ourselves; the input was ignored, what was due was done.
 * -ENOMEM: something was left undone, as if packets had been lost; the state stays valid.
 * In all cases the output is valid and must be carried out. */
int swim_step(struct swim *swim, const struct swim_input *input, struct swim_output *output);

/* Adds an address to join by. It is tried whenever no live member is known to be there: often while
 * we are alone, else seldom, which heals a partition. `id` may be NULL. Adding the same address
 * again is fine. -EINVAL if the address is none, -ENOSPC over SWIM_SEEDS_MAX. Members that died and
 * are forgotten become seeds by themselves, where there is room; these give way to others. */
int swim_add_seed(struct swim *swim, const struct id *id, const struct address *address);

/* Takes such an address back; it need not be there. */
void swim_remove_seed(struct swim *swim, const struct address *address);

/* Says something about ourselves: it reaches every peer, and stands until it is replaced or
 * withdrawn, or until we restart with a new generation. Does nothing if the record has that very
 * value already. Our own records cause no events.
 *
 * -EINVAL: key empty or over SWIM_KEY_BYTES_MAX, or value over SWIM_VALUE_BYTES_MAX; -ENOSPC: too
 * many records; -ENOMEM. No record is changed on failure. */
int swim_publish(struct swim *swim, int64_t now_ms, enum swim_table table, struct bytes key,
                 struct bytes value);

/* Takes a record of ours back. -ENOENT if there is none; -ENOMEM. */
int swim_withdraw(struct swim *swim, int64_t now_ms, enum swim_table table, struct bytes key);

/* Says goodbye: others list us as left at once instead of suspecting us. Step on for a second or so
 * for the word to spread. We are silent about accusations from then on. -ENOMEM. */
int swim_leave(struct swim *swim, int64_t now_ms);

/* Tells others that we are reached elsewhere from now on. -ENOMEM. */
int swim_readdress(struct swim *swim, int64_t now_ms, const struct address *advertised);

/* Goes on with other timings, see swim_config_take_timings(). What is under way keeps sane
 * deadlines: probes get no less time than either profile gives them, and suspicions that begin soon
 * (while others may not have heard of the change) last as long as in the more patient of the two,
 * so that peers of both don't accuse each other falsely. Step with SWIM_TICK after it. -EINVAL if
 * they are out of bounds; nothing was changed. */
int swim_set_profile(struct swim *swim, int64_t now_ms, const struct swim_config *timings);

/* Shuts a peer out for good: its membership, records and accusations are dropped, and whatever it
 * says or has said is ignored. The events come with the next step. Doing it twice is fine. -EINVAL
 * for ourselves, -ENOSPC over SWIM_REVOKED_MAX, -ENOMEM. */
int swim_revoke(struct swim *swim, int64_t now_ms, const struct id *id);
bool swim_is_revoked(const struct swim *swim, const struct id *id);

struct swim_member {
    struct id id;
    struct address address; /* as it advertises itself */
    enum swim_state state;
    struct address stream_address; /* where links to it are dialed: there, or where it moved */
    struct address packet_address; /* where packets to it are sent: there, or where it answers */
    enum swim_path path;           /* how it answers us */
    bool udp_blocked;              /* a stream answers where no packet does */
    uint8_t health;       /* our probes of it that failed in a row; at most SWIM_HEALTH_MAX */
    uint16_t accusers;    /* distinct peers that hold it unreachable, at most SWIM_ACCUSERS_MAX */
    uint32_t rtt_us;      /* smoothed round trip of our probes; 0 until one was answered */
    int64_t since_ms;     /* when we saw it enter its state */
    uint64_t incarnation; /* generation << 32 | counter */
};

/* Members in the order of their ids, ourselves included. */
/* What it goes by. */
const struct swim_config *swim_config_in_force(const struct swim *swim);

size_t swim_member_count(const struct swim *swim);
struct swim_member swim_member_at(const struct swim *swim, size_t index);

/* False, and `*ret` is not touched, if the id is not known. */
bool swim_member_find(const struct swim *swim, const struct id *id, struct swim_member *ret);

struct swim_accusation {
    struct id by;
    int64_t heard_ms; /* when it came to us, which may be later than it was made; moved on, as
                         since_ms below */
};

/* Why a member is not held alive. It is empty (count 0) for those that nobody accuses. */
struct swim_suspicion {
    int64_t since_ms;   /* the first accusation; moved on by the time that we slept ourselves */
    int64_t dead_by_ms; /* when a suspect is held dead, unless it answers (further accusers bring
                           that nearer), or when a dead one was */
    size_t count;
    struct swim_accusation accusations[SWIM_ACCUSERS_MAX]; /* in the order in which they came */
};

void swim_suspicion(const struct swim *swim, const struct id *id, struct swim_suspicion *ret);

/* Sends one packet to a member, or has `via` (NULL: nobody) probe it, whatever its state, and says
 * with SWIM_PONG or SWIM_PING_LOST and that token what came of it. It counts neither for nor
 * against the member. `now_us` is the time as in swim_input. -ENOENT if one of them is no member,
 * -EINVAL if one is ourselves or both are the same, -EBUSY over SWIM_PINGS_MAX, -ENOMEM. */
int swim_ping(struct swim *swim, int64_t now_ms, int64_t now_us, const struct id *id,
              const struct id *via, uint64_t token);

void swim_counters(const struct swim *swim, struct swim_counters *ret);

/* Where packets to that member go now if it is not the address that it advertises, else NULL. */
const struct address *swim_member_learnt(const struct swim *swim, const struct id *id);

/* Peers that likely reach that member where we don't: who last answered for it, and those with whom
 * it keeps in touch from behind NAT. Returns how many. */
size_t swim_member_helpers(const struct swim *swim, const struct id *id,
                           struct id ret[SWIM_CONTACTS_MAX + 1]);

/* Whether others don't reach us at the address that we advertise, and where they see us then. */
bool swim_is_misplaced(const struct swim *swim, struct address *ret_seen);

/* Whether we hold everything that the owner has said as of its newest record we have seen, which is
 * checked against the owner's own signed sum. */
bool swim_member_is_complete(const struct swim *swim, const struct id *owner);

/* Members that are alive or suspect, ourselves included. */
size_t swim_live_count(const struct swim *swim);

struct swim_record {
    struct id owner;
    enum swim_table table;
    uint64_t version; /* generation << 32 | counter; one counter for all of an owner's records */
    struct bytes key;
    struct bytes value;
};

/* -ENOENT if the owner has no such record. The records of a suspect or dead owner still stand. */
int swim_record_find(const struct swim *swim, const struct id *owner, enum swim_table table,
                     struct bytes key, struct swim_record *ret);

/* Walks over the records of a table, of one owner or of all in the order of their ids, each owner's
 * in key order. The walk ends with the first call on swim that is not const.
 *
 *     struct swim_cursor cursor = swim_cursor_all(SWIM_TABLE_REPLICA);
 *     while (swim_cursor_next(swim, &cursor, &record)) …
 */
struct swim_cursor {
    enum swim_table table;
    bool one_owner, started;
    struct id owner;
    size_t member_index, record_index;
};

struct swim_cursor swim_cursor_all(enum swim_table table);
struct swim_cursor swim_cursor_of(const struct id *owner, enum swim_table table);
bool swim_cursor_next(const struct swim *swim, struct swim_cursor *cursor, struct swim_record *ret);

/* A store of verified facts that many instances in one process may share (config.pool), so that
 * a simulated fleet holds each fact's bytes once and checks each signature once. */
int fact_pool_new(uint64_t seed, struct fact_pool **ret);
void fact_pool_free(struct fact_pool *pool);
