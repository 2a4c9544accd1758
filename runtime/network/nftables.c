#include "runtime/network/nftables.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <string.h>

int nftables_run(const char *commands, bool json, char **ret_output, struct error *error)
{
    struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!context)
        return error_set(error, -ENOMEM, "nftables: cannot open a connection to the kernel");
    nft_ctx_buffer_output(context);
    nft_ctx_buffer_error(context);
    if (json)
        nft_ctx_output_set_flags(context, NFT_CTX_OUTPUT_JSON);
    int result = nft_run_cmd_from_buffer(context, commands);
    if (result != 0)
        result = error_set(error, -EIO, "nftables: %s", nft_ctx_get_error_buffer(context));
    if (result == 0 && ret_output) {
        *ret_output = strdup(nft_ctx_get_output_buffer(context));
        result = *ret_output ? 0 : -ENOMEM;
    }
    nft_ctx_free(context);
    return result;
}
