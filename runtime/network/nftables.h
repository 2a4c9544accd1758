/* The packet filter's rules as text, on libnftables. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Runs commands in one transaction. `ret_output` (may be NULL) is freed by the caller. */
int nftables_run(const char *commands, bool json, char **ret_output, struct error *error);
