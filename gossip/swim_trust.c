/* What a member's word is worth to us. Signatures keep anyone from speaking for another; what is
 * left to a stolen peer is to say too much, or what comes to nothing, in its own name. So each kind
 * of word has a price:
 *
 * An accusation that nobody else has made yet costs its accuser a credit, which it gets back when
 * the accused dies or enough others agree. An accuser out of credit is not heard alone: it neither
 * makes a suspect nor is it passed on, but we may look ourselves. Records beyond what one owner can
 * need to say are left to anti-entropy. Claims to know more than we do, and sums that nobody's
 * records add up to, make us ask less and less often.
 *
 * Nothing is kept of members that behave, and nothing that is kept outlasts its wait.
 */
#include "gossip/swim_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
    ANSWERED_FACTOR = 2, /* who is not heard by others any more is answered for as long again */
    SWEEP_MIN = 16,
    NEWS_MS = 1000 / SWIM_OWNER_NEWS_PER_SECOND,
};

/* Each time is when that allowance will be whole again, as in the generic cell rate algorithm. */
struct trust {
    struct id id;
    int64_t accusations_ms;
    int64_t news_ms;
    int64_t look_ms;     /* not before this do we look again ourselves at whom it accuses */
    int64_t claims_ms;   /* its claims to know more are not heeded before this */
    int64_t restarts_ms; /* nor are its records asked for from the start again */
    uint8_t claims_vain, restarts_vain;
};

static int compare_trust(const void *item, const void *key)
{
    return id_compare(&((const struct trust *)item)->id, key);
}

static const void *trust_key(const void *item)
{
    return &((const struct trust *)item)->id;
}

void trust_init(struct swim *swim)
{
    table_init(&swim->trusts, compare_trust, trust_key);
    swim->trusts_sweep = SWEEP_MIN;
}

void trust_done(struct swim *swim)
{
    for (size_t i = 0; i < swim->trusts.count; i++)
        free(swim->trusts.items[i]);
    table_done(&swim->trusts);
}

void trust_forget(struct swim *swim, const struct id *id)
{
    free(table_remove(&swim->trusts, id));
}

/* What to wait after that many times in vain, one after the other. */
static int64_t wait_ms(const struct swim *swim, uint8_t vain)
{
    return vain == 0 ? 0 : (int64_t)swim->config.sync_interval_ms << (vain - 1);
}

/* What came to nothing is remembered as long again as it made us wait. */
static bool is_past(const struct swim *swim, int64_t until_ms, uint8_t vain)
{
    return until_ms + wait_ms(swim, vain) <= swim->now_ms;
}

static bool is_spent(const struct swim *swim, const struct trust *trust)
{
    return trust->accusations_ms <= swim->now_ms && trust->news_ms <= swim->now_ms &&
           trust->look_ms <= swim->now_ms && is_past(swim, trust->claims_ms, trust->claims_vain) &&
           is_past(swim, trust->restarts_ms, trust->restarts_vain);
}

static void count_vain(const struct swim *swim, int64_t *until_ms, uint8_t *vain)
{
    if (is_past(swim, *until_ms, *vain))
        *vain = 0;
    if (*vain < SWIM_VAIN_DOUBLINGS_MAX)
        (*vain)++;
    *until_ms = swim->now_ms + wait_ms(swim, *vain);
}

void trust_sweep(struct swim *swim)
{
    size_t kept = 0;
    for (size_t i = 0; i < swim->trusts.count; i++) {
        struct trust *trust = swim->trusts.items[i];
        if (is_spent(swim, trust))
            free(trust);
        else
            swim->trusts.items[kept++] = trust;
    }
    swim->trusts.count = kept;
    if (kept == 0) { /* also the memory for all those of whom we heard at once when we joined */
        table_done(&swim->trusts);
        table_init(&swim->trusts, compare_trust, trust_key);
    }
    swim->trusts_sweep = 2 * kept + SWEEP_MIN;
}

static struct trust *find(const struct swim *swim, const struct id *id)
{
    return table_find(&swim->trusts, id);
}

/* Finds or adds; NULL if there is no memory. Only members have an entry, which bounds them. */
static struct trust *obtain(struct swim *swim, const struct id *id)
{
    struct trust *trust = find(swim, id);
    if (trust)
        return trust;
    if (swim->trusts.count >= swim->trusts_sweep)
        trust_sweep(swim);
    trust = calloc(1, sizeof(*trust));
    if (!trust) {
        swim_fail(swim, -ENOMEM);
        return NULL;
    }
    trust->id = *id;
    if (table_insert(&swim->trusts, trust) < 0) {
        swim_fail(swim, -ENOMEM);
        free(trust);
        return NULL;
    }
    return trust;
}

static int64_t spend(const struct swim *swim, int64_t whole_ms, int64_t price_ms)
{
    return (whole_ms > swim->now_ms ? whole_ms : swim->now_ms) + price_ms;
}

static bool has_credit(const struct swim *swim, const struct id *accuser, int credits)
{
    const struct trust *trust = find(swim, accuser);
    return !trust ||
           trust->accusations_ms - swim->now_ms <= (int64_t)(credits - 1) * SWIM_LONE_ACCUSATION_MS;
}

bool trust_accuser(const struct swim *swim, const struct id *accuser)
{
    return has_credit(swim, accuser, SWIM_LONE_ACCUSATIONS_MAX);
}

bool trust_accuser_of_us(const struct swim *swim, const struct id *accuser)
{
    return has_credit(swim, accuser, ANSWERED_FACTOR * SWIM_LONE_ACCUSATIONS_MAX);
}

void trust_charge_accuser(struct swim *swim, const struct id *accuser)
{
    struct trust *trust = obtain(swim, accuser);
    if (trust)
        trust->accusations_ms = spend(swim, trust->accusations_ms, SWIM_LONE_ACCUSATION_MS);
}

void trust_refund_accuser(struct swim *swim, const struct id *accuser)
{
    struct trust *trust = find(swim, accuser);
    if (trust)
        trust->accusations_ms -= SWIM_LONE_ACCUSATION_MS;
}

bool trust_look(struct swim *swim, const struct id *accuser)
{
    struct trust *trust = obtain(swim, accuser);
    if (!trust || trust->look_ms > swim->now_ms)
        return false;
    trust->look_ms = swim->now_ms + swim->config.probe_interval_ms;
    return true;
}

bool trust_owner(const struct swim *swim, const struct id *owner)
{
    const struct trust *trust = find(swim, owner);
    int64_t burst_ms = (int64_t)SWIM_OWNER_NEWS_BURST * NEWS_MS;
    return !trust || trust->news_ms - swim->now_ms <= burst_ms - NEWS_MS;
}

void trust_charge_owner(struct swim *swim, const struct id *owner)
{
    struct trust *trust = obtain(swim, owner);
    if (trust)
        trust->news_ms = spend(swim, trust->news_ms, NEWS_MS);
}

bool trust_claims(const struct swim *swim, const struct id *id)
{
    const struct trust *trust = find(swim, id);
    return !trust || trust->claims_ms <= swim->now_ms;
}

void trust_judge_claim(struct swim *swim, const struct id *id, bool vain)
{
    struct trust *trust = vain ? obtain(swim, id) : find(swim, id);
    if (trust && vain)
        count_vain(swim, &trust->claims_ms, &trust->claims_vain);
    else if (trust)
        trust->claims_vain = 0;
}

bool trust_restart(struct swim *swim, const struct id *owner)
{
    struct trust *trust = obtain(swim, owner);
    if (!trust || trust->restarts_ms > swim->now_ms)
        return false;
    count_vain(swim, &trust->restarts_ms, &trust->restarts_vain);
    return true;
}
