/* Every limit of node/control/, in one place. */
#pragma once

enum {
    VIEW_LABELS_BYTES_MAX = 255,
    VIEW_DETAIL_BYTES_MAX = 511,
    VIEW_VERSION_BYTES_MAX = 31,
    CONTROL_SETTLE_MS_DEFAULT = 5000, /* how long a new replica must stay well by default */
};
