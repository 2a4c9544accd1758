/* What can be called: the table of each methods_*.c. Tests link a list of their own instead. */
#include <stddef.h>

#include "node/api/call.h"

const struct api_entry *const api_methods[] = {API_TABLES, NULL};
