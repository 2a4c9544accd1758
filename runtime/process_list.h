/* The processes of a container, as `consort top` shows them: runtime_processes(), declared in
 * runtime.h, and what it reads of one of them.
 */
#pragma once

#include "runtime/runtime.h"

/* Understands /proc/PID/stat and /proc/PID/status of one process. Their names and numbers are the
 * kernel's, what stands in parentheses is the process's own. -EINVAL for anything else. */
int process_entry_parse(const char *stat, const char *status, struct process_entry *ret);

/* Joins the words of /proc/PID/cmdline with spaces, bytes that would steer a terminal replaced. */
void process_entry_command(const char *words, size_t size, struct process_entry *entry);
