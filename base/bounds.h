/* Bounds that more than one folder needs. Each folder has a header of its own for the rest.
 *
 * Every limit on what a peer accepts from network, disk or user is a named constant, so that the
 * worst case of a buffer or a table can be read off rather than guessed.
 */
#pragma once

enum {
    BASE_READER_DEPTH_MAX = 8,                 /* nesting of arrays and maps in one message */
    BASE_BUFFER_BYTES_MAX = 256 * 1024 * 1024, /* one growable buffer */
    BASE_NAME_BYTES_MAX = 63,                  /* peer, service, stack, volume names: a DNS label */
    BASE_ERROR_BYTES_MAX = 1024,               /* one message for an operator */
    BASE_LOG_LINE_BYTES_MAX = 2048,
    BASE_TEXT_LIST_ITEMS_MAX = 1024, /* arguments, variables, labels of one container */
};
