/* What a container prints from now on, and its standard input, for an operator: runtime_attach()
 * and its siblings, declared in runtime.h.
 *
 * conmon keeps a socket for it beside the bundle ("attach"). Each packet that it sends is a byte
 * that tells the stream and what was printed; what is sent to it becomes standard input, if the
 * container has one. The size of a terminal goes through a FIFO ("ctl").
 */
#pragma once

#include "runtime/runtime.h"
