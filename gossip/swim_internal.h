/* The functions by which the parts of swim call one another, on the state of swim_state.h. One
 * section a file; only gossip/swim*.c include this.
 *
 * A function here that can run out of memory and has no better way to say so calls swim_fail(): the
 * step goes on with what is left, as after a lost packet, and returns -ENOMEM.
 */
#pragma once

#include "gossip/swim_state.h"

/* swim_effects.c: what a step brings about. */
void swim_fail(struct swim *swim, int rc);
/* Returns the event, to be filled in further, or NULL. */
struct swim_event *swim_event(struct swim *swim, enum swim_event_type type, const struct id *id,
                              const struct id *by, uint64_t version);
void swim_record_event(struct swim *swim, enum swim_event_type type, const struct fact *record);

/* A message's bytes are appended to swim->pending.arena between the two. With `rc` < 0 they are
 * dropped again. */
size_t swim_message_begin(const struct swim *swim);
void swim_message_end(struct swim *swim, size_t start, int rc, const struct id *to,
                      const struct address *address, enum swim_channel channel);

/* Between the two, what comes about is pending in the memory of `output`: an instance of which
 * there are many keeps none for this. */
void swim_output_begin(struct swim *swim, struct swim_output *output);
void swim_output_finish(struct swim *swim, struct swim_output *output);

/* swim_members.c: who is there. */
struct member *member_find(const struct swim *swim, const struct id *id);
struct member *member_at(const struct swim *swim, size_t index);

/* The first member whose id begins with that prefix, or NULL. */
struct member *member_find_prefix(const struct swim *swim, uint64_t prefix);
bool member_is_live(const struct member *member);

static inline const struct id *member_id(const struct member *member)
{
    return &member->presence->view.signer;
}

static inline const struct address *member_address(const struct member *member)
{
    return &member->presence->view.presence.address;
}

static inline uint64_t member_incarnation(const struct member *member)
{
    return member->presence->view.version;
}

/* Whether somebody accuses it whose word counts. */
static inline bool member_is_accused(const struct member *member)
{
    return member->suspicion && member->suspicion->counts_ms != NEVER_MS;
}

static inline size_t member_accusers(const struct member *member)
{
    return member_is_accused(member) ? member->suspicion->count : 0;
}

int members_init(struct swim *swim);
void members_done(struct swim *swim);
void member_set_state(struct swim *swim, struct member *member, enum swim_state state);

/* Takes what a presence says. True if it was news. */
bool presence_apply(struct swim *swim, const struct fact_view *view);

/* A live member other than ourselves and those in `not`, drawn at random; NULL if there is none. */
struct member *member_pick(struct swim *swim, struct member *const * not, size_t not_count);

/* Suspects die, the dead and those that left are forgotten, graves are cleared. */
void members_run(struct swim *swim);
int64_t members_deadline(const struct swim *swim);

/* Whether `id` was a member, and was forgotten not very long ago. */
bool is_buried(const struct swim *swim, const struct id *id);

/* If `id` was forgotten and now speaks itself: an accusation that makes it say that it is alive, to
 * be released by the caller; else NULL. */
struct fact *grave_challenge(struct swim *swim, const struct id *id);

/* swim.c */
bool swim_config_is_valid(const struct swim_config *config);

/* swim_suspicion.c: who accuses whom. */
bool accusation_apply(struct swim *swim, const struct fact_view *view);
void member_accuse(struct swim *swim, struct member *member);
void suspicion_clear(struct swim *swim, struct member *member);

/* Whether anybody but us accuses it, and is heard. */
bool is_accused_by_others(const struct swim *swim, const struct member *member);

/* Sets when the suspect is dead, or the dead forgotten. */
void suspicion_set_deadline(struct swim *swim, struct member *member);

/* Sets all suspects' deadlines again, if what they depend on has changed. */
void suspicions_keep_pace(struct swim *swim);

/* The time that we lost counts for nobody's suspicion. */
void suspicions_delay(struct swim *swim, int64_t lost_ms);

/* How long a suspicion lasts at least, with as many accusers as are wanted. */
int64_t suspicion_min_ms(const struct swim *swim);

/* Drops all accusations that `accuser` has made. */
void suspicion_drop_accuser(struct swim *swim, const struct id *accuser);

/* The base-2 logarithm of `value`, which is at least 1, in thousandths. */
uint32_t log2_milli(uint64_t value);

/* swim_slab.c: members' memory. */
struct member *member_alloc(struct swim *swim); /* zeroed; NULL: -ENOMEM */
void member_free(struct swim *swim, struct member *member);
void slabs_done(struct swim *swim);

/* swim_doubted.c: suspects and the dead, those whose deadlines are first in front. */
int doubted_add(struct swim *swim, struct member *member); /* -ENOMEM */
void doubted_remove(struct swim *swim, struct member *member);
void doubted_move(struct swim *swim, struct member *member); /* its deadline was changed */
void doubted_sort(struct swim *swim);                        /* all deadlines were */
/* The member died, or enough others agree: who accused it first was right. */
void suspicion_uphold(struct swim *swim, struct member *member);

/* swim_trust.c: what a member's word is worth. */
void trust_init(struct swim *swim);
void trust_done(struct swim *swim);
void trust_forget(struct swim *swim, const struct id *id);

/* Frees what says nothing any more. */
void trust_sweep(struct swim *swim);

/* Whether an accusation counts that this member is alone with; what one costs; and the price back.
 */
bool trust_accuser(const struct swim *swim, const struct id *accuser);
bool trust_accuser_of_us(const struct swim *swim, const struct id *accuser);
void trust_charge_accuser(struct swim *swim, const struct id *accuser);
void trust_refund_accuser(struct swim *swim, const struct id *accuser);

/* Whether to look ourselves at whom an accuser accuses that is not heard; once an interval at most.
 */
bool trust_look(struct swim *swim, const struct id *accuser);

/* Whether one more record of that owner may be taken now; and that it was. */
bool trust_owner(const struct swim *swim, const struct id *owner);
void trust_charge_owner(struct swim *swim, const struct id *owner);

/* Whether to ask because that member claims to know more than we do, and how that went. */
bool trust_claims(const struct swim *swim, const struct id *id);
void trust_judge_claim(struct swim *swim, const struct id *id, bool vain);

/* Whether to ask for all records of that owner again, since what we hold is not what it says. */
bool trust_restart(struct swim *swim, const struct id *owner);

/* swim_self.c: what we say about ourselves. */
bool self_must_refute(const struct swim *swim, const struct id *accuser);
void self_refute(struct swim *swim, const struct fact_view *accusation);

/* Others hold words of ours of that version, which is higher than any that we know of. */
void self_outrun(struct swim *swim, uint64_t version);
void records_age(struct swim *swim);

/* swim_records.c: what owners say about themselves. */
void records_done(struct swim *swim, struct member *member);
bool record_apply(struct swim *swim, const struct fact_view *view, bool relay);
bool records_are_complete(const struct member *member);

/* What struct record_set says, also of a member that has none. */
size_t records_count(const struct member *member);
struct fact *record_find(const struct member *member, const struct record_key *key);
uint64_t records_base(const struct member *member);
uint64_t records_newest(const struct member *member);
uint64_t records_floor(const struct member *member);
uint64_t records_sum(const struct member *member);

/* Changes from when on sync asks for more; -ENOMEM. */
int records_set_base(struct swim *swim, struct member *member, uint64_t base);

/* Drops every record of the generations before the member's, and of that too if it has left. */
void records_void(struct swim *swim, struct member *member);

/* Takes the member's records for a change, with room for one more, and gives them back. Between the
 * two nobody else holds them. NULL: -ENOMEM, nothing changed. */
struct record_set *records_edit(struct swim *swim, struct member *owner);
void records_edited(struct swim *swim, struct member *owner);

/* Puts `fact` in its place among the owner's records, which are being edited. The reference passes
 * to them. */
void record_put(struct swim *swim, struct member *owner, struct fact *fact,
                struct fact **ret_previous);

/* Drops one of the records, which are being edited. */
void record_drop_at(struct swim *swim, struct member *owner, size_t index);

/* swim_rumor.c: what rides on packets. */
void rumors_init(struct swim *swim);
void rumor_add(struct swim *swim, struct fact *fact, enum rumor_class class);
void rumor_drop(struct swim *swim, const struct fact *fact);
size_t rumors_count(const struct swim *swim);

/* Whether there are any that the reader does not know for being its own. */
bool rumors_for(const struct swim *swim, const struct id *reader);

/* Whether the owner of a record has some of its budget left; if not, rumours of it are not even
 * looked at. */
bool rumor_budget_has(struct swim *swim, const struct fact_view *view);

/* Fills the draft, which borrows from the rumours until rumors_retire() drops those that have been
 * sent often enough. */
void rumors_ride(struct swim *swim, struct packet_draft *draft);

/* The same, for one more packet to whom the last one went: it carries others. */
void rumors_ride_on(struct swim *swim, struct packet_draft *draft);

/* Whether one more packet to whom the last one went is worth it: so much is urgent and was told to
 * few so far. */
bool rumors_press(const struct swim *swim);
void rumors_retire(struct swim *swim);
void rumors_done(struct swim *swim);

/* swim_budget.c: token buckets. Those who are not known have a full one. */
bool budget_has(struct budget *budget, int64_t now_ms, const struct id *id, size_t bytes);

/* Takes it even if it is not there. */
void budget_take(struct budget *budget, int64_t now_ms, const struct id *id, size_t bytes);

/* How much of its burst a peer has used. */
size_t budget_used(struct budget *budget, int64_t now_ms, const struct id *id);

/* swim_packet.c: packets. */

/* Starts a packet for `to`, which is told first of all what it must know: that we are there, and
 * who accuses it. */
void packet_start(struct swim *swim, struct packet_draft *draft, enum packet_kind kind,
                  uint32_t sequence, const struct id *subject, const struct id *to);

/* Starts a packet that answers so many bytes which came from `source`. It is no larger than those
 * while nobody has answered us from there: who has the key of a peer can put any address under its
 * packets. */
void packet_start_answer(struct swim *swim, struct packet_draft *draft, enum packet_kind kind,
                         uint32_t sequence, const struct id *subject, const struct id *to,
                         const struct address *source, size_t asked_bytes);

/* Fills the packet up with rumours and sends it. */
void packet_finish(struct swim *swim, struct packet_draft *draft, const struct id *to,
                   const struct address *address);
int packet_receive(struct swim *swim, const struct swim_input *input);
void ping_send(struct swim *swim, const struct member *member, const struct address *address,
               uint32_t sequence);

/* To every address that it may be at. */
void ping_everywhere(struct swim *swim, const struct member *member, uint32_t sequence);
void gossip_soon(struct swim *swim);
void gossip_run(struct swim *swim);

/* Takes one fact of any kind from anyone; with `relay`, a record that is news becomes a rumour.
 * True if it was news. If it was signed wrongly, the step fails with -EBADMSG: whoever sent it
 * checks signatures as we do, and so it lies, and has cost us one check too many already. */
bool fact_apply(struct swim *swim, const struct fact_view *view, bool relay);

/* swim_probe.c: is it there? */
void probe_start(struct swim *swim, struct member *member);
void probe_acked(struct swim *swim, const struct swim_input *input, const struct packet *packet);
void probe_stream_acked(struct swim *swim, const struct id *from, uint32_t sequence);
void probe_nacked(struct swim *swim, const struct id *from, const struct packet *packet);
void probe_unreached(struct swim *swim, const struct id *id);
void probe_forget(struct swim *swim, const struct member *member);
void probe_reset(struct swim *swim);

/* Waits for the answers to what is under way that much longer. */
void probes_delay(struct swim *swim, int64_t lost_ms);
void relay_start(struct swim *swim, const struct swim_input *input, const struct packet *packet);

/* Drops what is under way on behalf of that peer, or to reach it. */
void relays_forget(struct swim *swim, const struct id *id);
int ring_add(struct swim *swim, struct member *member);
void health_add(struct swim *swim, int misses);
void probes_run(struct swim *swim);
int64_t probes_deadline(const struct swim *swim);

/* Sequence numbers can't be guessed: who answers one has got the ping. */
void sequences_init(struct swim *swim);
uint32_t next_sequence(struct swim *swim);

/* Asks `helper` to probe `target` for us. */
void relay_ask(struct swim *swim, const struct member *helper, const struct id *target,
               uint32_t sequence);

/* swim_ping.c: what operators ask for. */

/* The round trip of what was sent at `sent_us`, at least 1; it is counted. */
uint32_t rtt_sample_us(struct swim *swim, int64_t sent_us);

/* Whether the ack belongs to a ping. */
bool ping_acked(struct swim *swim, const struct id *from, const struct packet *packet);
void ping_nacked(struct swim *swim, const struct id *from, const struct packet *packet);
void pings_run(struct swim *swim);
int64_t pings_deadline(const struct swim *swim);

/* swim_sync.c: anti-entropy. */
struct digest_entry sync_digest_of(const struct member *member);
bool digest_is_behind(const struct member *ours, const struct digest_entry *theirs);

/* Collects the facts about `ours` that are news to whoever wrote `theirs` (NULL: knows nothing). */
struct fact_list {
    struct fact **facts; /* borrowed */
    size_t count, capacity;
    size_t bytes, limit_bytes;
    bool full; /* something was left out */
};
void fact_list_done(struct fact_list *list);
void digest_answer(struct swim *swim, const struct member *ours, const struct digest_entry *theirs,
                   struct fact_list *list);
void sync_init(struct swim *swim);

/* The index of the first member whose id is greater than `after`. */
size_t sync_first_after(const struct swim *swim, const struct id *after);

/* Sends a digest of the members in (after, through], or of as many of them as fit, and returns
 * where it ends. */
struct id sync_send_digest(struct swim *swim, const struct id *to, const struct address *address,
                           bool reply_wanted, const struct id *after, const struct id *through);

/* Whether to look at so many bytes of facts that `from` sends; if so, they are charged to it. */
bool sync_may_tell(struct swim *swim, const struct id *from, size_t bytes);

void sync_soon(struct swim *swim, const struct id *with);
void sync_with(struct swim *swim, const struct id *to, const struct address *address);
int sync_receive(struct swim *swim, const struct swim_input *input);
void sync_run(struct swim *swim);

/* Asks over a stream, or answers, whether anybody is there. */
void sync_ping(struct swim *swim, const struct id *to, const struct address *address,
               enum sync_kind kind, uint32_t sequence);
int64_t sync_deadline(const struct swim *swim);
void repair_note(struct swim *swim, const struct id *from, const struct digest_entry *theirs);

/* swim_path.c: how members are reached, and how we are. */

/* Where packets to that member go, and streams. */
struct address path_address(const struct swim *swim, const struct member *member);
struct address path_stream_address(const struct swim *swim, const struct member *member);

/* The other address by which it may be reached: none if there is none. */
struct address path_other_address(const struct swim *swim, const struct member *member);

void paths_init(struct swim *swim);
void paths_done(struct swim *swim);
void path_forget(struct swim *swim, const struct id *id);

/* NULL if there is nothing out of the ordinary. */
const struct path *path_find(const struct swim *swim, const struct id *id);

/* An authenticated packet of the member came from there. */
void path_seen(struct swim *swim, struct member *member, const struct address *source);

/* The member has answered, from there, what we sent to there; and whether it ever did. */
void path_confirm(struct swim *swim, struct member *member, const struct address *address);
bool path_is_confirmed(const struct swim *swim, const struct member *member,
                       const struct address *address);

/* It says a new address of itself. */
void path_readdressed(struct swim *swim, struct member *member);

/* How a probe was answered: directly at the address in use or at the other one, or else. */
void path_answered(struct swim *swim, struct member *member, bool by_other);
/* Somebody else than who answered first says too that it is there. */
void path_witnessed(struct swim *swim, const struct member *member, const struct id *helper);
void path_helped(struct swim *swim, struct member *member, uint32_t sequence,
                 const struct id *helper);
void path_streamed(struct swim *swim, struct member *member, uint32_t sequence);

/* Whether `sequence` is that of the last probe that was answered in another way than directly. */
bool path_was_probed(const struct swim *swim, const struct id *id, uint32_t sequence);

/* `from` has said where it sees us (none: where we advertise), in a ping to there or in an ack. */
void path_placed(struct swim *swim, const struct id *from, const struct packet *packet);

/* We advertise another address from now on. */
void path_self_readdressed(struct swim *swim);

/* Something is sent to that peer. */
void path_sent(struct swim *swim, const struct id *to);
void paths_run(struct swim *swim);
int64_t paths_deadline(const struct swim *swim);

/* swim_summary.c: what differs at all. A short hash of what we know of all live members; 0 if they
 * are too many for it. */
uint32_t view_hash(const struct swim *swim);

/* A summary has so many parts (1 at least, and 1 if there are
 * fewer members), at most SWIM_SYNC_RANGES_MAX. */
void summary_send(struct swim *swim, const struct id *to, const struct address *address,
                  const struct id *after, const struct id *through, size_t parts);
void summary_receive(struct swim *swim, const struct swim_input *input,
                     struct sync_message *message);
void want_receive(struct swim *swim, const struct swim_input *input, struct sync_message *message);

/* swim_reach.c: those who are not there (yet, or any more). */
void reach_run(struct swim *swim);
void reach_soon(struct swim *swim);

/* Keeps the address of a dead member that is about to be forgotten as a seed, if there is room. It
 * is one until a live member is there, and gives way to seeds that are given and to later ones. */
void seed_forgotten(struct swim *swim, const struct member *member);

/* Forgets how often the dead were tried in vain. */
void reach_again(struct swim *swim);
