/* The packet filter's rules for addresses that services have within one network: when they are
 * written and applied (what they are: runtime/network/address_rules.h). */
#pragma once

#include "runtime/settings.h"

struct runtime;

/* A container has come to a network, or gone: what is wanted is written anew. It is applied before
 * one starts, else with the next check. */
void service_addresses_changed(struct runtime *runtime);

/* Applies what is wanted; that it fails is only told, for containers run without, and the next
 * check tries again. Blocks shortly; for worker threads. */
void service_addresses_apply(const struct runtime_settings *settings);
