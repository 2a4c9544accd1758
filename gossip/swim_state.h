/* What an instance of swim holds; only gossip/swim*.c include this, by way of swim_internal.h. The
 * parts of `struct swim` stand under the file that keeps them.
 */
#pragma once

#include "base/random.h"
#include "base/table.h"
#include "gossip/fact.h"
#include "gossip/record_set.h"
#include "gossip/swim.h"
#include "gossip/swim_message.h"

#define NEVER_MS INT64_MAX

enum { SEQUENCE_KEY_BYTES = 16 };

/* Who accuses a member, and since when; a suspect and a dead member have one. So has one that is
 * alive if the suspicion does not count: all of its accusers were refuted too often, and they are
 * too few to be believed together (swim_trust.c). */
struct suspicion {
    int64_t started_ms;
    int64_t deadline_ms;        /* when it is dead or, once dead, forgotten */
    int64_t nudge_ms;           /* not before this is it told again that it is accused */
    int64_t reconnect_ms;       /* when it is tried again, if dead */
    const struct fact *charged; /* the accusation that its accuser pays for, or NULL */
    int64_t counts_ms;          /* since when it counts; NEVER_MS while it doesn't */
    uint32_t reconnect_backoff_ms;
    uint32_t place; /* in swim->doubted */
    uint16_t count, capacity;
    /* Of the member's incarnation, as heard; behind them, for each, when: see suspicion_heard(). */
    struct fact *accusations[];
};

/* How long suspicions last that began before `until_ms`, at least, in a fleet of ten: see
 * swim_set_profile(). */
struct patience {
    int64_t until_ms;
    int64_t min_ms, max_ms;
};

/* What the deadlines of all suspects depend on. */
struct suspicion_pace {
    int64_t min_ms, max_ms;                 /* how long a suspicion lasts */
    int64_t patient_min_ms, patient_max_ms; /* one that began before patience.until_ms */
    uint32_t wanted; /* accusers beyond the first, for it to last the minimum */
};

/* One of up to SWIM_MEMBERS_MAX peers, as another peer sees it. There is one for each pair of peers
 * of a simulated fleet, so it is small: what all say alike lies in facts and record sets, which the
 * fleet shares, and what few members have stands apart. */
struct member {
    struct fact *presence;       /* its id, address and incarnation, as it says itself */
    struct suspicion *suspicion; /* NULL while nobody accuses it */
    struct record_set *records;  /* NULL: nothing was heard of those of its generation */
    int64_t since_ms;            /* when it entered its state */
    uint32_t rtt_us;             /* smoothed round trip of our probes, 0 if there is none yet */
    uint16_t told;               /* swim->announcements, as this member is known to have heard */
    uint8_t state;               /* enum swim_state */
    uint8_t health : 7;          /* our probes of it that failed in a row */
    uint8_t is_confirmed : 1;    /* a ping to where it advertises was answered from there */
};

_Static_assert(sizeof(struct member) <= 48,
               "10,000 times 10,000 members have to fit in one process");

/* What is out of the ordinary about how a member is reached. Few have one. */
struct path {
    struct id id;
    struct address seen; /* where its packets come from, if not where it advertises; or none */
    enum swim_path kind;
    bool udp_blocked;
    bool is_used;      /* we send to `seen` */
    bool is_confirmed; /* a ping to `seen` was answered from there */
    uint8_t switches;  /* probes in a row that only the address not in use answered */
    uint8_t misses;    /* probes in a row that were not answered directly */
    uint32_t sequence; /* of the last one that was answered in another way */
    struct id helper;  /* who answered for it then; ID_NONE: nobody */
    uint8_t lone;      /* probes since anybody else did */
};

/* Where another peer sees us, if not where we advertise. */
struct sighting {
    struct id by;
    struct address at;
    int64_t ms;
};

/* A peer to which we, behind NAT, keep a way open. */
struct contact {
    struct id id;
    int64_t sent_ms; /* the last packet to it */
};

/* A peer that was forgotten: others may still tell of it for a while. */
struct grave {
    struct id id;
    uint64_t incarnation;
    int64_t until_ms;
};

/* How much is done for each of the peers that were busy lately: swim_budget.c. */
struct budget {
    size_t burst_bytes;
    size_t bytes_per_second;
    struct bucket {
        struct id id;
        int64_t full_us;
    } buckets[SWIM_BUDGET_BUCKETS];
};

enum rumor_class {
    RUMOR_URGENT, /* accusations, and what members say in answer to them or in parting */
    RUMOR_NEWS,   /* peers that have just started */
    RUMOR_RECORD,
    RUMOR_CLASSES,
};

struct rumor {
    struct fact *fact;
    uint32_t sends;
    uint32_t penalty; /* counts like as many sends */
    uint32_t told;    /* swim->rumor_listener when it was last sent */
    uint64_t order;   /* later ones are higher */
};

struct rumor_queue {
    struct rumor *rumors; /* in the order in which they are sent */
    size_t count, capacity;
};

/* Who was told rumours in an answer not long ago. */
struct answered {
    uint64_t prefix; /* of its id */
    int64_t at_ms;
};

struct probe {
    uint32_t sequence; /* 0: not in use */
    struct id target;
    int64_t sent_us;
    int64_t relay_ms; /* when helpers are asked; NEVER_MS once they were */
    int64_t fail_ms;
    uint32_t other_sequence;               /* of the ping to the address not in use; 0: none */
    struct address address, other_address; /* where the pings went */
    unsigned nacks_expected, nacks;
    uint64_t helpers[SWIM_HELPERS_MAX]; /* prefixes of the ids of those who were asked */
    uint16_t told;                      /* swim->announcements when it was sent */
};

struct relay {
    uint32_t sequence; /* 0: not in use */
    struct id target;
    struct id origin;
    struct address origin_address;
    uint32_t origin_sequence;
    uint32_t origin_bytes; /* of what it asked with */
    uint64_t order;        /* later ones are higher */
    int64_t nack_ms; /* NEVER_MS once it was sent: an answer that comes late is passed on as well */
};

/* An operator's. */
struct ping {
    uint32_t sequence; /* 0: not in use */
    uint64_t token;
    struct id target;
    struct id via; /* ID_NONE: directly */
    int64_t sent_us;
    int64_t lost_ms;
    bool nacked;
};

struct seed {
    struct id id; /* ID_NONE if not known */
    struct address address;
    int64_t next_ms;
    uint32_t backoff_ms;
    bool was_member; /* nobody gave it: it died and was forgotten. It gives way to any other */
};

/* A member told us, in a packet's digest, that we lack something; rumours get this long. */
struct repair {
    struct id from;  /* ID_NONE: none is wanted */
    bool claimed;    /* it said so; else what follows is not known */
    uint64_t prefix; /* of the owner's id */
    uint64_t incarnation;
    uint64_t version;
    int64_t due_ms;
};

struct swim {
    struct swim_config config;
    struct fact_pool *pool;
    struct record_sets *sets; /* the pool's */
    bool owns_pool;           /* nobody shares them */
    struct random random;
    int64_t now_ms, now_us;
    int64_t promised_ms;        /* the last next_deadline_ms */
    int rc;                     /* of this step */
    struct id teller;           /* who sent what this step takes; ID_NONE if nobody did */
    struct swim_output pending; /* filled for the end of the step; between steps, events only */

    /* swim_members.c */
    struct table members; /* of struct member, by id */
    struct table revoked; /* of struct id */
    struct table graves;  /* of struct grave */
    struct slab *slabs;   /* that members lie in */
    union slot *free_slots;
    struct member *self;
    size_t live_count;  /* alive and suspect, self included */
    size_t alive_count; /* alive, self included */
    size_t dead_count;
    size_t record_count; /* of all members */
    int64_t left_ms;     /* the next of those that left may be forgotten no earlier */
    int64_t graves_ms;   /* the next grave is cleared */

    /* swim_suspicion.c, swim_doubted.c */
    struct member **doubted; /* suspects and the dead, a heap by suspicion->deadline_ms */
    size_t doubted_count, doubted_capacity;
    struct suspicion_pace pace; /* as of which suspects' deadlines were set */
    int64_t verdicts_ms;        /* no suspect is held dead before this */

    /* swim_profile.c */
    struct patience patience;

    /* swim_trust.c */
    struct table trusts; /* of struct trust, by id */
    size_t trusts_sweep; /* with so many, those that say nothing any more are freed */

    /* swim_self.c */
    int64_t refuted_ms; /* when we last refuted an accusation */
    uint64_t incarnation;
    uint16_t announcements;  /* presences of ours, numbered from 1 on, and round again */
    uint64_t record_version; /* of the last record published */
    uint64_t tombstone_new, tombstone_old; /* versions: see records_age() */
    int64_t tombstone_ms;

    /* swim_probe.c */
    uint64_t sequence_count; /* of sequence numbers drawn */
    uint8_t sequence_key[SEQUENCE_KEY_BYTES];
    unsigned health; /* Lifeguard's local health multiplier */
    int64_t probe_round_ms;
    bool probes_neighbour; /* the last probe was of our neighbour */
    struct member **ring;  /* all members but self in a shuffled order */
    size_t ring_count, ring_capacity, ring_next;
    struct probe probes[SWIM_PROBES_MAX];
    struct relay relays[SWIM_RELAYS_MAX];

    /* swim_ping.c */
    struct ping *pings;            /* SWIM_PINGS_MAX of them; NULL until an operator asks */
    struct swim_counters counters; /* all but what is so now */

    /* swim_rumor.c, swim_packet.c */
    struct rumor_queue rumors[RUMOR_CLASSES];
    uint64_t rumor_order;
    uint32_t rumor_turn;
    const struct id *rumor_reader; /* to whom the packet goes that rumours ride on; else NULL */
    uint32_t rumor_listener; /* counts to whom rumours are told: with one packet, or some on end */
    struct budget rumor_budget;                      /* of owners, for their records */
    struct fact *rumors_sent[SWIM_PACKET_FACTS_MAX]; /* often enough, with this packet */
    size_t rumors_sent_count;
    int64_t gossip_ms;
    size_t digest_next;    /* index of the member whose digest rides next */
    size_t undecided_next; /* place in `doubted` where suspects for digests are looked for next */
    bool views_agree;      /* the last view that was heard is our own */
    int64_t view_ms;       /* when it was */
    int64_t differing_ms;  /* when another one was heard */
    struct answered answered[SWIM_ANSWERED_MAX]; /* the newest first from answered_next backwards */
    size_t answered_next;

    /* swim_sync.c */
    int64_t sync_ms;
    unsigned syncs_saved;      /* since the last one, because others' views agree with ours */
    struct id sync_peer;       /* with whom rounds are counted */
    unsigned sync_rounds;      /* left with that peer */
    unsigned sync_summaries;   /* that may still be sent in this round */
    unsigned sync_wants;       /* that may still be answered in this round */
    bool sync_cut;             /* our last digest had no room for all that was wanted */
    bool catches_up;           /* by a delta so long that it is no news to others */
    struct budget sync_budget; /* of askers */
    struct budget told_budget; /* of those who tell */
    struct repair repair;
    struct repair repair_asked; /* the last one that we asked for */

    /* swim_reach.c */
    struct seed seeds[SWIM_SEEDS_MAX];
    size_t seed_count;
    int64_t reach_ms;

    /* swim_path.c */
    struct table paths; /* of struct path, by id */
    struct sighting sightings[SWIM_SIGHTINGS_MAX];
    size_t sighting_count;
    int64_t reached_ms;   /* when somebody last reached us where we advertise */
    bool is_misplaced;    /* nobody does any more */
    struct address place; /* where we are seen then */
    struct contact contacts[SWIM_CONTACTS_MAX];
    size_t contact_count;
    int64_t contacts_ms; /* when they are looked at next */
};
