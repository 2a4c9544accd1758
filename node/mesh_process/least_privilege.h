/* What the mesh process keeps of root's rights: to listen at ports below 1024. */
#pragma once

/* Becomes the user "nobody", with CAP_NET_BIND_SERVICE alone, for good; its memory is shown to
 * nobody. Without root, only the latter. 0 or a negative errno. */
int least_privilege_take(void);
