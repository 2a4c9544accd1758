/* Bounds of the command line. */
#pragma once

enum {
    CLI_OPTIONS_MAX = 24,                     /* of one verb, with the global ones */
    CLI_TEXT_BYTES_MAX = 512,                 /* one cell of a table, one id, one name */
    CLI_PARAMS_DEPTH_MAX = 4,                 /* nesting of what is asked */
    CLI_IMPORT_CHUNK_BYTES = 256 * 1024,      /* of an image, a note */
    CLI_IMPORT_AHEAD_BYTES = 2 * 1024 * 1024, /* sent and not yet taken by the peer */
    CLI_INPUT_BYTES = 16 * 1024,              /* one read of the terminal for exec */
    CLI_UNDER_WAY_BYTES_MAX = 512 * 1024,     /* of input that the peer has not passed on yet */
    CLI_LINK_TIMEOUT_MS = 5000,               /* for one peer of a context to answer */
    CLI_WAIT_DEFAULT_MS = 10 * 60 * 1000,     /* of --wait */
    CLOCK_DRIFT_PERMILLE_MAX = 500,
};
