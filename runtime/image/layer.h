/* Unpacks one layer, a tar archive from strangers, into a directory for overlayfs.
 *
 * Whiteouts become what overlayfs wants: ".wh.x" a character device 0/0 named x, ".wh..wh..opq" the
 * attribute trusted.overlay.opaque on its directory. Owners, modes, times, hard links and the
 * attributes user.* and security.capability are kept; all other attributes are dropped, since
 * trusted.overlay.* could point out of the layer.
 *
 * No entry leaves the directory, in any combination of absolute names, "..", symbolic links and
 * hard links: each parent is opened beneath the directory's descriptor without following symbolic
 * links (openat2), and the last component is only ever created, never opened through. Device nodes
 * are refused, but skipped in /dev, which the container gets fresh anyway. Bytes, entries, depth
 * and names are bounded.
 *
 * Blocks: node calls it on the thread pool (through image_store_unpack). Needs root.
 */
#pragma once

#include "base/error.h"
#include "runtime/image/digest.h"

/* Unpacks the archive at `blob_fd`'s start into the empty directory `directory_fd`, and checks that
 * the uncompressed bytes have the digest `diff_id`. Compression is told by the bytes, not by what
 * the manifest declared, as containerd does. -EBADMSG for anything hostile or damaged, -E2BIG past
 * a bound, else what the disk says. What was unpacked before a failure is the caller's to delete.
 */
int layer_unpack(int blob_fd, int directory_fd, const struct digest *diff_id, struct error *error);
