/* The addresses that services have within one network: told to the runtime, so that containers here
 * reach them. */
#pragma once

struct peer;

/* Services, or the runtime's readiness, may have changed. */
void addresses_changed(struct peer *peer);
