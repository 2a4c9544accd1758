/* Where members lie: in slabs, which saves what the heap would add to each. Slabs are given back
 * when swim is; what is free in them is used again.
 */
#include "gossip/swim_internal.h"

#include <stdlib.h>

enum {
    SLOTS = 64, /* of one slab */
};

union slot {
    struct member member;
    union slot *next; /* that is free */
};

struct slab {
    struct slab *next;
    union slot slots[SLOTS];
};

static int add_slab(struct swim *swim)
{
    struct slab *slab = malloc(sizeof(*slab));
    if (!slab)
        return -1;
    slab->next = swim->slabs;
    swim->slabs = slab;
    for (size_t i = SLOTS; i-- > 0;) {
        slab->slots[i].next = swim->free_slots;
        swim->free_slots = &slab->slots[i];
    }
    return 0;
}

struct member *member_alloc(struct swim *swim)
{
    if (!swim->free_slots && add_slab(swim) < 0)
        return NULL;
    union slot *slot = swim->free_slots;
    swim->free_slots = slot->next;
    slot->member = (struct member){0};
    return &slot->member;
}

void member_free(struct swim *swim, struct member *member)
{
    union slot *slot = (union slot *)member;
    slot->next = swim->free_slots;
    swim->free_slots = slot;
}

void slabs_done(struct swim *swim)
{
    while (swim->slabs) {
        struct slab *slab = swim->slabs;
        swim->slabs = slab->next;
        free(slab);
    }
    swim->free_slots = NULL;
}
