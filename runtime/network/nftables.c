#include "runtime/network/nftables.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <string.h>

#include "base/library.h"

/* What is used of libnftables: rules change so seldom that a peer can be without it in between. */
#define FUNCTIONS(FUNCTION)                                                                        \
    FUNCTION(nft_, ctx_buffer_error)                                                               \
    FUNCTION(nft_, ctx_buffer_output)                                                              \
    FUNCTION(nft_, ctx_free)                                                                       \
    FUNCTION(nft_, ctx_get_error_buffer)                                                           \
    FUNCTION(nft_, ctx_get_output_buffer)                                                          \
    FUNCTION(nft_, ctx_new)                                                                        \
    FUNCTION(nft_, ctx_output_set_flags)                                                           \
    FUNCTION(nft_, run_cmd_from_buffer)

static struct {
    FUNCTIONS(LIBRARY_POINTER)
} libnftables;

static struct library library = LIBRARY("libnftables.so.1", "libnftables1", FUNCTIONS, libnftables);

int nftables_use(struct error *error)
{
    return library_use(&library, error);
}

void nftables_release(void)
{
    library_release(&library);
}

static int run(const char *commands, bool json, char **ret_output, struct error *error)
{
    struct nft_ctx *context = libnftables.ctx_new(NFT_CTX_DEFAULT);
    if (!context)
        return error_set(error, -ENOMEM, "nftables: cannot open a connection to the kernel");
    libnftables.ctx_buffer_output(context);
    libnftables.ctx_buffer_error(context);
    if (json)
        libnftables.ctx_output_set_flags(context, NFT_CTX_OUTPUT_JSON);
    int result = libnftables.run_cmd_from_buffer(context, commands);
    if (result != 0)
        result = error_set(error, -EIO, "nftables: %s", libnftables.ctx_get_error_buffer(context));
    if (result == 0 && ret_output) {
        *ret_output = strdup(libnftables.ctx_get_output_buffer(context));
        result = *ret_output ? 0 : -ENOMEM;
    }
    libnftables.ctx_free(context);
    return result;
}

int nftables_run(const char *commands, bool json, char **ret_output, struct error *error)
{
    int result = nftables_use(error);
    if (result < 0)
        return result;
    result = run(commands, json, ret_output, error);
    nftables_release();
    return result;
}
