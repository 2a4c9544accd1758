/* consort mesh-process SOCKET PEER: what passes requests on for a peer, started by it; see
 * node/mesh_process/process.h. Not for people. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "node/cli/cli.h"
#include "node/mesh_process/launch.h"
#include "node/mesh_process/process.h"

int verb_mesh_process(struct cli *cli, int argc, char **argv)
{
    struct id self;
    if (argc != 3 || id_parse(argv[2], &self) < 0)
        return cli_usage(cli, "this command is for the peer itself");
    log_setup(LOG_INFO, getenv("JOURNAL_STREAM") != NULL);
    pid_t child = fork(); /* its parent shall not have to wait for it */
    if (child < 0) {
        log_error("mesh: it can't start: %s", strerror(errno));
        return CLI_FAILED;
    }
    if (child > 0)
        _exit(CLI_OK);
    return mesh_process_run(MESH_PROCESS_FD, &self) == 0 ? CLI_OK : CLI_FAILED;
}
