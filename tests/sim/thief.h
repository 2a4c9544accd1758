/* A machine that was stolen: its key is good, it belongs to the cluster, and it lies.
 *
 *     c.thief = 6;
 *     thief_speaks(&c);     as often as wished, as long as it does not vote
 *
 * It tells every other machine, in each way that might be believed, of an intent without services
 * in which it alone votes. Nobody may take any of it; that the liar is named is no failure.
 */
#pragma once

struct cluster;

void thief_speaks(struct cluster *c);
