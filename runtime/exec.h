/* Commands run inside containers, for operators and health checks: runtime_exec() and its siblings,
 * declared in runtime.h.
 *
 * The OCI runtime is a child of the daemon as long as the command runs. With a tty, the daemon
 * holds the master of a pseudo-terminal, the OCI runtime has the slave as its standard input and
 * output, and copies between that and the terminal that it makes in the container.
 */
#pragma once

#include "runtime/runtime.h"
