/* Files copied into a container that runs and out of it: runtime_copy() and its siblings, declared
 * in runtime.h.
 *
 * A thread of its own does what blocks (copy_files.h) at one end of a socket pair; the loop holds
 * the other end. The thread is over when it says so, and all it wrote was read when its end is
 * closed.
 */
#pragma once

#include "runtime/runtime.h"
