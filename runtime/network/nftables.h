/* The packet filter's rules as text, on libnftables, which is loaded while it works: rules change
 * seldom, and the library is a tenth of an idle peer's memory. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Keeps the library loaded between several runs that follow one another. */
int nftables_use(struct error *error);
void nftables_release(void);

/* Runs commands in one transaction. `ret_output` (may be NULL) is freed by the caller. */
int nftables_run(const char *commands, bool json, char **ret_output, struct error *error);
