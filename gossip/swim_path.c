/* How members are reached, and how we are.
 *
 * A member is spoken to at the address that it advertises. Its own packets may come from another
 * one: it moved, or sits behind NAT. That address is learnt from authenticated packets, as in
 * WireGuard, but is only tried when the advertised one does not answer, and used once it alone has
 * answered several probes in a row. So neither a packet that somebody passes on from elsewhere nor
 * a second network card makes us send anywhere else while the advertised address works.
 *
 * Others tell us, in pings and acks, at which other address they see us. Where several do, and
 * nobody reaches us where we advertise, we are misplaced: a wrong address, or NAT. Then we keep a
 * way open to a few contacts, and tell everybody which, so that who does not reach us asks them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gossip/swim_internal.h"

enum {
    MISPLACED_INTERVALS = 25, /* probe intervals without being reached where we advertise */
    CONTACTS_PERIOD_MS = SWIM_KEEPALIVE_MS / 5,
    CONTACT_SAMPLE = 3,    /* the nearest of so many becomes a contact */
    OF_WHOM_ONE_HELPS = 3, /* we, the target, and one other */
};

static const char CONTACTS_KEY[] = "contacts";

/* --- Of others --- */

static int compare_path(const void *item, const void *key)
{
    return id_compare(&((const struct path *)item)->id, key);
}

static const void *id_of_path(const void *item)
{
    return &((const struct path *)item)->id;
}

void paths_init(struct swim *swim)
{
    table_init(&swim->paths, compare_path, id_of_path);
}

void paths_done(struct swim *swim)
{
    for (size_t i = 0; i < swim->paths.count; i++)
        free(swim->paths.items[i]);
    table_done(&swim->paths);
}

void path_forget(struct swim *swim, const struct id *id)
{
    free(table_remove(&swim->paths, id));
}

const struct path *path_find(const struct swim *swim, const struct id *id)
{
    return swim->paths.count > 0 ? table_find(&swim->paths, id) : NULL;
}

static struct path *find(struct swim *swim, const struct member *member)
{
    return swim->paths.count > 0 ? table_find(&swim->paths, member_id(member)) : NULL;
}

static struct path *obtain(struct swim *swim, const struct member *member)
{
    struct path *path = find(swim, member);
    if (path)
        return path;
    path = calloc(1, sizeof(*path));
    if (path) {
        path->id = *member_id(member);
        if (table_insert(&swim->paths, path) == 0)
            return path;
    }
    free(path);
    swim_fail(swim, -ENOMEM);
    return NULL;
}

struct address path_address(const struct swim *swim, const struct member *member)
{
    const struct path *path = path_find(swim, member_id(member));
    return path && path->is_used ? path->seen : *member_address(member);
}

struct address path_other_address(const struct swim *swim, const struct member *member)
{
    const struct path *path = path_find(swim, member_id(member));
    if (!path)
        return (struct address){0};
    return path->is_used ? *member_address(member) : path->seen;
}

/* What NAT makes of a packet's port says nothing of TCP; who only moved keeps its port. */
struct address path_stream_address(const struct swim *swim, const struct member *member)
{
    struct address address = path_address(swim, member);
    return address.port == member_address(member)->port ? address : *member_address(member);
}

static void tell(struct swim *swim, const struct path *path)
{
    const struct member *member = member_find(swim, &path->id);
    struct swim_event *event =
        swim_event(swim, SWIM_MEMBER_PATH, &path->id, NULL, member_incarnation(member));
    if (!event)
        return;
    event->path = path->kind;
    if (path->kind == SWIM_PATH_LEARNT)
        event->address = path->seen;
}

static void set_kind(struct swim *swim, struct path *path, enum swim_path kind)
{
    if (path->kind == kind)
        return;
    path->kind = kind;
    swim->counters.path_changes++;
    tell(swim, path);
}

static void forget_if_plain(struct swim *swim, const struct path *path)
{
    if (address_is_none(&path->seen) && path->misses == 0 && path->kind == SWIM_PATH_DIRECT)
        path_forget(swim, &path->id);
}

void path_seen(struct swim *swim, struct member *member, const struct address *source)
{
    struct path *path = find(swim, member);
    if (member == swim->self || address_is_none(source))
        return;
    if (!address_equal(source, member_address(member))) {
        path = path ? path : obtain(swim, member);
        if (!path || address_equal(&path->seen, source))
            return;
        path->seen = *source;
        path->is_confirmed = false;
        if (path->is_used && path->kind == SWIM_PATH_LEARNT)
            tell(swim, path);
    } else if (path) {
        path_readdressed(swim, member);
        path->seen = (struct address){0};
        forget_if_plain(swim, path);
    }
}

void path_confirm(struct swim *swim, struct member *member, const struct address *address)
{
    struct path *path = find(swim, member);
    if (address_equal(address, member_address(member)))
        member->is_confirmed = true;
    else if (path && address_equal(address, &path->seen))
        path->is_confirmed = true;
}

bool path_is_confirmed(const struct swim *swim, const struct member *member,
                       const struct address *address)
{
    const struct path *path = path_find(swim, member_id(member));
    if (address_equal(address, member_address(member)))
        return member->is_confirmed;
    return path && path->is_confirmed && address_equal(address, &path->seen);
}

void path_readdressed(struct swim *swim, struct member *member)
{
    struct path *path = find(swim, member);
    if (!path)
        return;
    path->is_used = false;
    path->switches = 0;
    if (address_equal(&path->seen, member_address(member)))
        path->seen = (struct address){0};
    if (path->kind == SWIM_PATH_LEARNT)
        set_kind(swim, path, SWIM_PATH_DIRECT);
}

void path_answered(struct swim *swim, struct member *member, bool by_other)
{
    struct path *path = find(swim, member);
    if (!path)
        return;
    path->udp_blocked = false;
    path->misses = 0;
    path->helper = ID_NONE;
    path->switches = by_other ? (uint8_t)(path->switches + 1) : 0;
    if (path->switches >= SWIM_PATH_SWITCH) {
        path->is_used = !path->is_used;
        path->switches = 0;
    }
    set_kind(swim, path, path->is_used ? SWIM_PATH_LEARNT : SWIM_PATH_DIRECT);
    forget_if_plain(swim, path);
}

static struct path *missed(struct swim *swim, struct member *member, uint32_t sequence)
{
    struct path *path = obtain(swim, member);
    if (!path)
        return NULL;
    if (path->misses < UINT8_MAX)
        path->misses++;
    path->sequence = sequence;
    return path;
}

void path_witnessed(struct swim *swim, const struct member *member, const struct id *helper)
{
    struct path *path = find(swim, member);
    if (path && !id_equal(&path->helper, helper))
        path->lone = 0;
}

/* One helper that says alone, time after time, that a member is there may lie. If the member is, it
 * answers an accusation, and nobody else can. Where there is no other to ask, it is believed: two
 * of three peers that can't reach each other are far more likely than that the third lies. */
void path_helped(struct swim *swim, struct member *member, uint32_t sequence,
                 const struct id *helper)
{
    struct path *path = missed(swim, member, sequence);
    if (!path)
        return;
    path->lone = id_equal(&path->helper, helper) ? (uint8_t)(path->lone + 1) : 0;
    path->helper = *helper;
    if (path->lone >= SWIM_LONE_HELPER_PROBES && swim->live_count > OF_WHOM_ONE_HELPS) {
        path->lone = 0;
        member_accuse(swim, member);
    }
    if (path->misses >= SWIM_PATH_MISSES && !path->udp_blocked)
        set_kind(swim, path, SWIM_PATH_HELPER);
}

void path_streamed(struct swim *swim, struct member *member, uint32_t sequence)
{
    /* Who had answered through a helper already was counted then. */
    struct path *path = path_was_probed(swim, member_id(member), sequence)
                            ? find(swim, member)
                            : missed(swim, member, sequence);
    if (path)
        path->lone = 0;
    if (!path || path->misses < SWIM_PATH_MISSES)
        return;
    path->udp_blocked = true;
    set_kind(swim, path, SWIM_PATH_STREAM);
}

bool path_was_probed(const struct swim *swim, const struct id *id, uint32_t sequence)
{
    const struct path *path = path_find(swim, id);
    return path && path->misses > 0 && sequence != 0 && path->sequence == sequence;
}

const struct address *swim_member_learnt(const struct swim *swim, const struct id *id)
{
    const struct path *path = path_find(swim, id);
    return path && path->is_used ? &path->seen : NULL;
}

size_t swim_member_helpers(const struct swim *swim, const struct id *id,
                           struct id ret[SWIM_CONTACTS_MAX + 1])
{
    const struct path *path = path_find(swim, id);
    struct swim_record record;
    size_t count = 0;
    if (path && !id_is_none(&path->helper))
        ret[count++] = path->helper;
    if (swim_record_find(swim, id, SWIM_TABLE_META, bytes_of_text(CONTACTS_KEY), &record) < 0)
        return count;
    for (size_t i = 0; i < SWIM_CONTACTS_MAX && (i + 1) * ID_BYTES <= record.value.size; i++) {
        struct id contact;
        memcpy(contact.bytes, record.value.data + i * ID_BYTES, ID_BYTES);
        if (!id_equal(&contact, &swim->config.self) && !id_equal(&contact, id) &&
            (count == 0 || !id_equal(&contact, &ret[0])))
            ret[count++] = contact;
    }
    return count;
}

/* --- Of ourselves --- */

bool swim_is_misplaced(const struct swim *swim, struct address *ret_seen)
{
    if (swim->is_misplaced)
        *ret_seen = swim->place;
    return swim->is_misplaced;
}

void path_self_readdressed(struct swim *swim)
{
    swim->reached_ms = swim->now_ms;
    swim->sighting_count = 0;
    if (swim->is_misplaced)
        swim->contacts_ms = swim->now_ms;
    swim->is_misplaced = false; /* until shown again */
}

static void reached(struct swim *swim)
{
    swim->reached_ms = swim->now_ms;
    swim->sighting_count = 0;
    if (!swim->is_misplaced)
        return;
    swim->is_misplaced = false;
    swim->contacts_ms = swim->now_ms;
    swim_event(swim, SWIM_SELF_PLACED, &swim->config.self, NULL, swim->incarnation);
}

/* Keeps the newest word of each, in place of the oldest of all if there is no room. */
static void note_sighting(struct swim *swim, const struct id *by, const struct address *at)
{
    size_t index = 0, oldest = 0;
    while (index < swim->sighting_count && !id_equal(&swim->sightings[index].by, by)) {
        if (swim->sightings[index].ms < swim->sightings[oldest].ms)
            oldest = index;
        index++;
    }
    if (index == SWIM_SIGHTINGS_MAX)
        index = oldest;
    else if (index == swim->sighting_count)
        swim->sighting_count++;
    swim->sightings[index] = (struct sighting){.by = *by, .at = *at, .ms = swim->now_ms};
}

void path_placed(struct swim *swim, const struct id *from, const struct packet *packet)
{
    bool here = address_is_none(&packet->place) ||
                address_equal(&packet->place, member_address(swim->self));
    if (swim->self->state == SWIM_LEFT)
        return;
    if (here && packet->kind == PACKET_PING)
        reached(swim);
    if (here)
        return;
    note_sighting(swim, from, &packet->place);

    int64_t since_ms =
        swim->now_ms - (int64_t)MISPLACED_INTERVALS * (int64_t)swim->config.probe_interval_ms;
    size_t fresh = 0;
    size_t wanted = swim->live_count <= SWIM_SIGHTINGS_WANTED ? 1 : SWIM_SIGHTINGS_WANTED;
    for (size_t i = 0; i < swim->sighting_count; i++)
        fresh += swim->sightings[i].ms >= since_ms;
    if (fresh < wanted || swim->reached_ms > since_ms)
        return;
    swim->place = packet->place;
    if (swim->is_misplaced)
        return;
    swim->is_misplaced = true;
    swim->contacts_ms = swim->now_ms;
    struct swim_event *event =
        swim_event(swim, SWIM_SELF_MISPLACED, &swim->config.self, from, swim->incarnation);
    if (event)
        event->address = packet->place;
}

/* --- Contacts --- */

static bool answers_directly(const struct swim *swim, const struct member *member)
{
    const struct path *path = path_find(swim, member_id(member));
    return member->state == SWIM_ALIVE && member->rtt_us > 0 &&
           (!path || path->kind == SWIM_PATH_DIRECT || path->kind == SWIM_PATH_LEARNT);
}

static bool is_contact(const struct swim *swim, const struct id *id)
{
    for (size_t i = 0; i < swim->contact_count; i++)
        if (id_equal(&swim->contacts[i].id, id))
            return true;
    return false;
}

static bool drop_contacts(struct swim *swim)
{
    size_t kept = 0, before = swim->contact_count;
    for (size_t i = 0; i < before; i++) {
        const struct member *member = member_find(swim, &swim->contacts[i].id);
        if (swim->is_misplaced && member && answers_directly(swim, member))
            swim->contacts[kept++] = swim->contacts[i];
    }
    swim->contact_count = kept;
    return kept < before;
}

static bool add_contacts(struct swim *swim)
{
    size_t before = swim->contact_count;
    while (swim->is_misplaced && swim->contact_count < SWIM_CONTACTS_MAX) {
        const struct member *best = NULL;
        for (int i = 0; i < CONTACT_SAMPLE; i++) {
            const struct member *member = member_pick(swim, NULL, 0);
            if (member && answers_directly(swim, member) && !is_contact(swim, member_id(member)) &&
                (!best || member->rtt_us < best->rtt_us))
                best = member;
        }
        if (!best)
            break; /* perhaps the next time */
        swim->contacts[swim->contact_count++] =
            (struct contact){.id = *member_id(best), .sent_ms = swim->now_ms};
    }
    return swim->contact_count > before;
}

static void publish_contacts(struct swim *swim)
{
    uint8_t value[SWIM_CONTACTS_MAX * ID_BYTES];
    int rc;
    for (size_t i = 0; i < swim->contact_count; i++)
        memcpy(value + i * ID_BYTES, swim->contacts[i].id.bytes, ID_BYTES);
    if (swim->contact_count > 0)
        rc = swim_publish(swim, swim->now_ms, SWIM_TABLE_META, bytes_of_text(CONTACTS_KEY),
                          (struct bytes){value, swim->contact_count * ID_BYTES});
    else
        rc = swim_withdraw(swim, swim->now_ms, SWIM_TABLE_META, bytes_of_text(CONTACTS_KEY));
    if (rc == -ENOMEM)
        swim_fail(swim, rc);
}

void path_sent(struct swim *swim, const struct id *to)
{
    for (size_t i = 0; i < swim->contact_count; i++)
        if (id_equal(&swim->contacts[i].id, to))
            swim->contacts[i].sent_ms = swim->now_ms;
}

void paths_run(struct swim *swim)
{
    if (swim->now_ms < swim->contacts_ms)
        return;
    swim->contacts_ms = NEVER_MS;
    if (swim->self->state == SWIM_LEFT)
        return;
    bool dropped = drop_contacts(swim), added = add_contacts(swim);
    if (dropped || added)
        publish_contacts(swim);
    for (size_t i = 0; i < swim->contact_count; i++) {
        struct member *member = member_find(swim, &swim->contacts[i].id);
        if (member &&
            swim->now_ms - swim->contacts[i].sent_ms >= SWIM_KEEPALIVE_MS - CONTACTS_PERIOD_MS) {
            swim->counters.keepalives++;
            probe_start(swim, member);
        }
    }
    if (swim->is_misplaced)
        swim->contacts_ms = swim->now_ms + CONTACTS_PERIOD_MS;
}

int64_t paths_deadline(const struct swim *swim)
{
    return swim->contacts_ms;
}
