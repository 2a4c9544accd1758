/* What a message costs on the wire, all headers included: both ways of a session or a connection
 * are booked on who sends the message.
 */
#pragma once

#include "tests/sim/fleet/fleet.h"

/* Adds the message to its sender's traffic. */
void wire_count(struct fleet *fleet, const struct fleet_message *message);
