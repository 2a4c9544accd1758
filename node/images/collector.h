/* Removes images that nothing needs: those that were not in use for a day, at leisure; when the
 * disk is nearly full all of them at once, and then what was pulled from a registry, the least
 * recently used first. Never what is in use, pinned, or has a name that an operator gave it.
 */
#pragma once

struct collector;
struct images;

/* NULL when there is no memory. Nothing is removed, by anybody, before collector_begin():
 * containers that were there before this process are not known yet. */
struct collector *collector_new(struct images *images);
void collector_begin(struct collector *collector);
void collector_close(struct collector *collector); /* frees from the loop; accepts NULL */

/* The disk may have become full: looked at soon. Accepts NULL. */
void collector_look(struct collector *collector);
