/* Who accuses whom, and when a suspect is held dead: Lifeguard's suspicion (Dadgar, Phillips,
 * Currey 2017, section IV-B), with signed accusations.
 *
 * There is no message that says "dead": each peer decides for itself, by its own clock, from the
 * number of distinct accusers. So one liar only makes a suspicion of the longest duration, which
 * the accused has ample time to refute; and all who hear the same accusers decide at about the same
 * time.
 */
#include "gossip/swim_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
    FRACTION_BITS = 10, /* of log2_milli's result */
    LOG10_OF_2_MILLI = 301,
    SECOND_OPINIONS_FACTOR = 3, /* peers that probe a suspect at once, for each accuser wanted */
};

uint32_t log2_milli(uint64_t value)
{
    unsigned whole = 63 - (unsigned)__builtin_clzll(value);
    uint64_t mantissa = whole > 31 ? value >> (whole - 31) : value << (31 - whole);
    uint32_t fraction = 0;
    for (int i = 0; i < FRACTION_BITS; i++) {
        mantissa = mantissa * mantissa >> 31; /* in [1, 4), with 31 bits below the point */
        fraction <<= 1;
        if (mantissa >> 32 != 0) {
            fraction |= 1;
            mantissa >>= 1;
        }
    }
    return whole * 1000 + (fraction * 1000 >> FRACTION_BITS);
}

/* How many accusers beyond the first could there be at all? */
static uint32_t confirmations_wanted(const struct swim *swim)
{
    size_t others = swim->alive_count - (swim->self->state == SWIM_ALIVE);
    return others < swim->config.confirmations ? (uint32_t)others : swim->config.confirmations;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static struct suspicion_pace current_pace(const struct swim *swim)
{
    const struct swim_config *config = &swim->config;
    int64_t scale_milli = (int64_t)log2_milli(swim->live_count + 1) * LOG10_OF_2_MILLI / 1000;
    if (scale_milli < 1000)
        scale_milli = 1000;
    int64_t unit_ms = config->probe_window_ms * scale_milli / 1000;
    struct suspicion_pace pace = {
        .min_ms = unit_ms * config->suspicion_min_multiplier,
        .max_ms = unit_ms * config->suspicion_max_multiplier,
        .wanted = confirmations_wanted(swim),
    };
    pace.patient_min_ms = later(pace.min_ms, swim->patience.min_ms * scale_milli / 1000);
    pace.patient_max_ms = later(pace.max_ms, swim->patience.max_ms * scale_milli / 1000);
    return pace;
}

int64_t suspicion_min_ms(const struct swim *swim)
{
    struct suspicion_pace pace = current_pace(swim);
    return swim->now_ms < swim->patience.until_ms ? pace.patient_min_ms : pace.min_ms;
}

/* max - (max - min) * log(accusers) / log(wanted + 1), from the first accusation on. */
static int64_t death_ms(const struct swim *swim, const struct suspicion *suspicion)
{
    const struct suspicion_pace *pace = &swim->pace;
    bool is_patient = suspicion->started_ms < swim->patience.until_ms;
    int64_t min_ms = is_patient ? pace->patient_min_ms : pace->min_ms;
    int64_t max_ms = is_patient ? pace->patient_max_ms : pace->max_ms;
    int64_t lasts_ms = min_ms;
    if (suspicion->counts_ms == NEVER_MS)
        return NEVER_MS;
    if (suspicion->count <= pace->wanted) {
        int64_t reached = log2_milli(suspicion->count), all = log2_milli(pace->wanted + 1);
        lasts_ms = max_ms - (max_ms - min_ms) * reached / all;
    }
    return later(suspicion->counts_ms + lasts_ms, swim->verdicts_ms);
}

void suspicion_set_deadline(struct swim *swim, struct member *member)
{
    struct suspicion *suspicion = member->suspicion;
    suspicions_keep_pace(swim);
    if (member->state == SWIM_DEAD)
        suspicion->deadline_ms = member->since_ms + swim->config.forget_dead_ms;
    else
        suspicion->deadline_ms = death_ms(swim, suspicion);
    doubted_move(swim, member);
}

static void set_deadlines(struct swim *swim)
{
    for (size_t i = 0; i < swim->doubted_count; i++)
        if (swim->doubted[i]->state != SWIM_DEAD)
            swim->doubted[i]->suspicion->deadline_ms = death_ms(swim, swim->doubted[i]->suspicion);
    doubted_sort(swim);
}

void suspicions_keep_pace(struct swim *swim)
{
    struct suspicion_pace pace = current_pace(swim);
    if (pace.min_ms == swim->pace.min_ms && pace.max_ms == swim->pace.max_ms &&
        pace.patient_min_ms == swim->pace.patient_min_ms &&
        pace.patient_max_ms == swim->pace.patient_max_ms && pace.wanted == swim->pace.wanted)
        return;
    swim->pace = pace;
    set_deadlines(swim);
}

void suspicions_delay(struct swim *swim, int64_t lost_ms)
{
    for (size_t i = 0; i < swim->doubted_count; i++) {
        struct suspicion *suspicion = swim->doubted[i]->suspicion;
        suspicion->started_ms += lost_ms;
        if (suspicion->counts_ms != NEVER_MS)
            suspicion->counts_ms += lost_ms;
    }
    set_deadlines(swim);
}

static bool wants_accusers(const struct swim *swim, const struct member *member)
{
    const struct suspicion *suspicion = member->suspicion;
    return !suspicion || (suspicion->count <= swim->config.confirmations &&
                          suspicion->count < suspicion->capacity);
}

static bool is_accused_by(const struct member *member, const struct id *accuser)
{
    if (!member->suspicion)
        return false;
    for (size_t i = 0; i < member->suspicion->count; i++)
        if (id_equal(&member->suspicion->accusations[i]->view.signer, accuser))
            return true;
    return false;
}

bool is_accused_by_others(const struct swim *swim, const struct member *member)
{
    size_t ours = is_accused_by(member, &swim->config.self);
    return member_accusers(member) > ours;
}

/* For each accusation, how many milliseconds after the first it came. */
static uint32_t *suspicion_heard(struct suspicion *suspicion)
{
    return (uint32_t *)(void *)(suspicion->accusations + suspicion->capacity);
}

static uint32_t since(const struct swim *swim, const struct suspicion *suspicion)
{
    int64_t past_ms = swim->now_ms - suspicion->started_ms;
    return past_ms < 0 ? 0 : past_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)past_ms;
}

static int suspicion_start(struct swim *swim, struct member *member)
{
    size_t capacity = swim->config.confirmations + 1;
    size_t size = sizeof(struct suspicion) + capacity * (sizeof(struct fact *) + sizeof(uint32_t));
    struct suspicion *suspicion = calloc(1, size);
    if (!suspicion)
        return -ENOMEM;
    suspicion->started_ms = swim->now_ms;
    suspicion->counts_ms = NEVER_MS;
    suspicion->capacity = (uint16_t)capacity;
    member->suspicion = suspicion;
    int rc = doubted_add(swim, member);
    if (rc < 0) {
        member->suspicion = NULL;
        free(suspicion);
    }
    return rc;
}

void suspicion_uphold(struct swim *swim, struct member *member)
{
    struct suspicion *suspicion = member->suspicion;
    if (!suspicion->charged)
        return;
    trust_refund_accuser(swim, &suspicion->charged->view.signer);
    suspicion->charged = NULL;
}

/* Whether the newest accusation makes a suspect of a member that was none. Our own counts no more
 * than it does with others: where nobody's is heard, all come to the same. */
static bool is_convincing(struct swim *swim, struct suspicion *suspicion)
{
    const struct fact *accusation = suspicion->accusations[suspicion->count - 1];
    size_t others = swim->alive_count - 1; /* without the accused, which is alive; we are one */
    if (swim->config.plain || suspicion->count >= others ||
        suspicion->count > swim->config.confirmations)
        return true;
    if (!trust_accuser(swim, &accusation->view.signer))
        return false;
    trust_charge_accuser(swim, &accusation->view.signer);
    suspicion->charged = accusation;
    return true;
}

static void suspect(struct swim *swim, struct member *member)
{
    struct suspicion *suspicion = member->suspicion;
    suspicion->counts_ms = swim->now_ms;
    for (size_t i = 0; i < suspicion->count; i++)
        rumor_add(swim, suspicion->accusations[i], RUMOR_URGENT);
    if (member->state != SWIM_ALIVE)
        return;
    member_set_state(swim, member, SWIM_SUSPECT);
    swim_event(swim, SWIM_MEMBER_SUSPECT, member_id(member),
               &suspicion->accusations[suspicion->count - 1]->view.signer,
               member_incarnation(member));
}

/* Adds an accusation of a member that is not ourselves. The reference passes on success. */
static int add(struct swim *swim, struct member *member, struct fact *accusation)
{
    int rc = member->suspicion ? 0 : suspicion_start(swim, member);
    if (rc < 0)
        return rc;
    struct suspicion *suspicion = member->suspicion;
    suspicion_heard(suspicion)[suspicion->count] = since(swim, suspicion);
    suspicion->accusations[suspicion->count++] = accusation;
    if (member_is_accused(member))
        rumor_add(swim, accusation, RUMOR_URGENT);
    else if (is_convincing(swim, suspicion))
        suspect(swim, member);
    else if (id_equal(&accusation->view.signer, &swim->config.self))
        rumor_add(swim, accusation, RUMOR_URGENT); /* nobody else passes it on */
    if (member_is_accused(member) && suspicion->count > swim->config.confirmations)
        suspicion_uphold(swim, member);
    suspicion_set_deadline(swim, member);
    return 0;
}

/* Some of those who hear of a suspect probe it at once: if it is there, it learns of the accusation
 * right away; if not, they are the further accusers that the decision waits for. */
static void second_opinion(struct swim *swim, struct member *member, const struct id *accuser)
{
    if (!member_is_live(member) || swim->self->state != SWIM_ALIVE)
        return;
    if (!member_is_accused(member) && !trust_look(swim, accuser))
        return;
    if (is_accused_by(member, &swim->config.self) || !wants_accusers(swim, member))
        return;
    uint64_t wanted = SECOND_OPINIONS_FACTOR * (uint64_t)swim->config.confirmations;
    if (random_chance(&swim->random, wanted, swim->live_count))
        probe_start(swim, member);
}

/* Whether what `accuser` (NULL: no member) says counts. Those who are dead to us are likely just
 * cut off; what they say of others is no evidence. But what they say of us we answer, and even
 * those whom we have forgotten, or two sides that hold each other dead would do so for ever. */
static bool may_accuse(const struct swim *swim, const struct fact_view *view,
                       const struct member *accuser, const struct member *accused)
{
    if (accused == swim->self)
        return accuser != swim->self && (accuser || is_buried(swim, &view->signer));
    return accuser && accuser != accused && accuser != swim->self && member_is_live(accuser);
}

bool accusation_apply(struct swim *swim, const struct fact_view *view)
{
    const struct member *accuser = member_find(swim, &view->signer);
    struct member *member = member_find(swim, &view->accusation.accused);
    struct fact *accusation;

    if (!member || !may_accuse(swim, view, accuser, member))
        return false;
    if (view->version != member_incarnation(member) || member->state == SWIM_LEFT)
        return false;
    if (is_accused_by(member, &view->signer) || !wants_accusers(swim, member))
        return false;
    if (member == swim->self && !self_must_refute(swim, &view->signer))
        return false;
    int rc = fact_pool_admit(swim->pool, view, &accusation);
    if (rc < 0) {
        swim_fail(swim, rc);
        return false;
    }
    if (member == swim->self) {
        fact_release(swim->pool, accusation);
        self_refute(swim, view);
        return true;
    }
    rc = add(swim, member, accusation);
    if (rc < 0) {
        swim_fail(swim, rc);
        fact_release(swim->pool, accusation);
        return false;
    }
    swim->counters.accusations_heard++;
    second_opinion(swim, member, &view->signer);
    return true;
}

void member_accuse(struct swim *swim, struct member *member)
{
    struct fact *accusation;
    if (!member_is_live(member) || is_accused_by(member, &swim->config.self))
        return;
    if (!wants_accusers(swim, member))
        return;
    struct fact_view view = {
        .kind = FACT_ACCUSATION,
        .version = member_incarnation(member),
        .accusation.accused = *member_id(member),
    };
    int rc = fact_sign(swim->pool, swim->config.identity, &view, &accusation);
    if (rc == 0) {
        rc = add(swim, member, accusation);
        if (rc < 0)
            fact_release(swim->pool, accusation);
    }
    if (rc < 0)
        swim_fail(swim, rc);
    else
        swim->counters.accusations_made++;
}

void suspicion_clear(struct swim *swim, struct member *member)
{
    struct suspicion *suspicion = member->suspicion;
    if (!suspicion)
        return;
    for (size_t i = 0; i < suspicion->count; i++) {
        rumor_drop(swim, suspicion->accusations[i]);
        fact_release(swim->pool, suspicion->accusations[i]);
    }
    doubted_remove(swim, member);
    free(suspicion);
    member->suspicion = NULL;
}

static void drop_accusation(struct swim *swim, struct member *member, const struct id *accuser)
{
    struct suspicion *suspicion = member->suspicion;
    size_t kept = 0;
    for (size_t i = 0; i < suspicion->count; i++) {
        struct fact *accusation = suspicion->accusations[i];
        if (!id_equal(&accusation->view.signer, accuser)) {
            suspicion_heard(suspicion)[kept] = suspicion_heard(suspicion)[i];
            suspicion->accusations[kept++] = accusation;
            continue;
        }
        if (suspicion->charged == accusation)
            suspicion->charged = NULL;
        rumor_drop(swim, accusation);
        fact_release(swim->pool, accusation);
    }
    if (kept == suspicion->count)
        return;
    suspicion->count = (uint16_t)kept;
    if (kept > 0) {
        suspicion_set_deadline(swim, member);
        return;
    }
    suspicion_clear(swim, member);
    if (member->state == SWIM_ALIVE)
        return;
    /* Nobody is left who holds it unreachable; if it is, our own probes will tell. */
    member_set_state(swim, member, SWIM_ALIVE);
    swim_event(swim, SWIM_MEMBER_ALIVE, member_id(member), NULL, member_incarnation(member));
}

void suspicion_drop_accuser(struct swim *swim, const struct id *accuser)
{
    /* In the order of ids, whatever the heap's: what comes of it are events. */
    for (size_t i = 0; i < swim->members.count; i++)
        if (member_at(swim, i)->suspicion)
            drop_accusation(swim, member_at(swim, i), accuser);
}

void swim_suspicion(const struct swim *swim, const struct id *id, struct swim_suspicion *ret)
{
    const struct member *member = member_find(swim, id);
    *ret = (struct swim_suspicion){0};
    if (!member || !member->suspicion)
        return;
    struct suspicion *suspicion = member->suspicion;
    ret->since_ms = suspicion->started_ms;
    ret->dead_by_ms = member->state == SWIM_SUSPECT ? suspicion->deadline_ms : member->since_ms;
    for (size_t i = 0; i < suspicion->count; i++)
        ret->accusations[ret->count++] =
            (struct swim_accusation){suspicion->accusations[i]->view.signer,
                                     suspicion->started_ms + suspicion_heard(suspicion)[i]};
}
