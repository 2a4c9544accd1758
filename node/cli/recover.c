/* consort recover */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/cli/bounds.h"
#include "node/cli/client.h"
#include "node/cli/contexts.h"
#include "node/cli/options.h"
#include "node/cli/output.h"
#include "node/control/succession.h"
#include "node/store/secret_file.h"

struct recover {
    const char *root_key;
    bool yes, force, alone, plans;
};

static void say_voter(const json_t *voter)
{
    char age[CLI_TEXT_BYTES_MAX] = "";
    bool is_this = json_flag(voter, "is_this");
    cell_age(voter, "state_ms", age);
    printf("    ");
    output_text(json_text(voter, "name"));
    printf(": %s", is_this ? "this peer" : json_text(voter, "state"));
    if (age[0] != '\0' && !is_this)
        printf(" for %s", age);
    puts("");
}

static void say_holder(const json_t *holder)
{
    json_int_t newer = json_number(holder, "newer");
    printf("    ");
    output_text(json_text(holder, "name"));
    printf(": up to entry %lld%s\n", (long long)json_number(holder, "entry"),
           newer > 0   ? ", MORE than this peer: recover there"
           : newer < 0 ? ", less than this peer"
                       : "");
}

/* All that an operator should know before; loudest what may be lost. */
static void say_plan(const json_t *plan, const struct recover *recover)
{
    json_int_t committed = json_number(plan, "committed"), entry = json_number(plan, "entry");
    const json_t *item;
    size_t i;
    printf(
        "Recovering makes this peer, %s, the only voter of a new epoch of cluster %.12s.\nThat is "
        "for a majority of voters that is gone for good. If they can come back, let them: then "
        "nothing is lost.\n\n",
        json_text(plan, "name"), json_text(plan, "cluster"));
    printf("The voters, of whom %lld answer:\n", (long long)json_number(plan, "live_voters"));
    json_array_foreach(json_object_get(plan, "voters"), i, item)
    {
        say_voter(item);
    }
    printf("\nThis peer knows what was agreed on up to entry %lld.", (long long)committed);
    if (entry > committed)
        printf(" It holds %lld more, which it never knew to be agreed on; they will count.",
               (long long)(entry - committed));
    puts("");
    if (json_array_size(json_object_get(plan, "holders")) > 0) {
        puts("What others that answer hold:");
        json_array_foreach(json_object_get(plan, "holders"), i, item)
        {
            say_holder(item);
        }
    }
    printf("\nWHAT MAY BE LOST: all that the others agreed on after entry %lld: deploys, scalings, "
           "secrets, admissions\n(who was admitted then must join again) and REVOCATIONS (repeat "
           "those of the last days).\n",
           (long long)entry);
    puts("Old voters that still run somewhere out of reach go on until they hear of the new epoch: "
         "a service marked\nexclusive may run twice until then. Then they drop what they agreed on "
         "meanwhile, and follow.");
    if (recover->alone)
        puts(
            "With --alone the old voters are revoked: their machines must be wiped and join again, "
            "and so must all peers\nthat are left beside this one.");
}

/* The operator's own hand: the machine's name, typed. */
static bool is_confirmed(const json_t *plan)
{
    char line[CLI_TEXT_BYTES_MAX];
    printf("\nTo go on, type this peer's name, %s: ", json_text(plan, "name"));
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return strcmp(line, json_text(plan, "name")) == 0;
}

static int read_root(const char *path, const struct id *cluster, struct identity *ret,
                     struct error *error)
{
    uint8_t seed[IDENTITY_SEED_BYTES];
    int rc = secret_file_read(path, seed, sizeof(seed), error);
    if (rc < 0)
        return rc == -ENOENT ? error_set_errno(error, rc, "reading the root key %s", path) : rc;
    identity_init(ret, seed);
    sodium_memzero(seed, sizeof(seed));
    if (id_equal(&ret->id, cluster))
        return 0;
    identity_done(ret);
    return error_set(error, -EKEYREJECTED, "%s is not the root key of this cluster", path);
}

/* A seal by a key that is not the peer's own. */
static int add_seal(json_t *params, const json_t *plan, const struct identity *identity,
                    struct error *error)
{
    struct id cluster, voter;
    struct raft_seal seal;
    char signer[2 * ID_BYTES + 1], signature[2 * RAFT_SEAL_SIGNATURE_BYTES + 1];
    if (hex_decode(json_text(plan, "cluster"), cluster.bytes, ID_BYTES) < 0 ||
        hex_decode(json_text(plan, "id"), voter.bytes, ID_BYTES) < 0)
        return error_set(error, -EBADMSG, "the peer's answer makes no sense");
    uint64_t epoch = (uint64_t)json_number(plan, "epoch") + 1;
    int rc = succession_recovery_seal(&cluster, epoch, &voter, identity, &seal);
    if (rc < 0)
        return error_set_errno(error, rc, "sealing the recovery");
    hex_encode(seal.signer.bytes, ID_BYTES, signer);
    hex_encode(seal.signature, sizeof(seal.signature), signature);
    json_object_set_new(params, "signer", json_string(signer));
    json_object_set_new(params, "signature", json_string(signature));
    return 0;
}

static int seal_by_root(json_t *params, const json_t *plan, const char *path, struct error *error)
{
    struct id cluster;
    struct identity root;
    if (hex_decode(json_text(plan, "cluster"), cluster.bytes, ID_BYTES) < 0)
        return error_set(error, -EBADMSG, "the peer's answer makes no sense");
    int rc = read_root(path, &cluster, &root, error);
    if (rc < 0)
        return rc;
    rc = add_seal(params, plan, &root, error);
    identity_done(&root);
    return rc;
}

/* An operator who is there by a context has a key that the peers know, too. */
static int seal_by_operator(const struct cli *cli, json_t *params, const json_t *plan,
                            struct error *error)
{
    struct operator_context *context = NULL;
    char current[BASE_NAME_BYTES_MAX + 1];
    const char *name = client_context(cli, current);
    if (!name)
        return 0;
    int rc = context_load(name, &context, error);
    if (rc == 0)
        rc = add_seal(params, plan, &context->identity, error);
    context_free(context);
    return rc;
}

static void say_done(const json_t *result)
{
    printf(
        "epoch %lld: %s votes alone, and leads within seconds. Others are chosen to vote as they "
        "answer.\nLook at what there is with: consort service ls; and revoke again whom you "
        "revoked lately\n",
        (long long)json_number(result, "epoch"), json_text(result, "name"));
}

static int begin(struct cli *cli, const struct recover *recover, const json_t *plan)
{
    struct error error = {0};
    json_t *params = json_pack("{s:b, s:b, s:I}", "force", recover->force, "alone", recover->alone,
                               "index", json_number(plan, "index"));
    int rc = 0;
    if (recover->root_key)
        rc = seal_by_root(params, plan, recover->root_key, &error);
    else if (!json_flag(plan, "is_voter") && !recover->alone)
        rc = seal_by_operator(cli, params, plan, &error);
    if (rc < 0) {
        json_decref(params);
        return cli_fail(&error);
    }
    return cli_do(cli, "recover.begin", params, say_done);
}

int verb_recover(struct cli *cli, int argc, char **argv)
{
    struct recover recover = {0};
    struct option_row rows[] = {
        OPTION_ROW('y', "yes", NULL, "Do not ask", OPTION_FLAG, &recover.yes),
        OPTION_ROW(0, "plan", NULL, "Only show what there is to know before", OPTION_FLAG,
                   &recover.plans),
        OPTION_ROW(0, "root-key", "FILE", "The cluster's own key: all peers believe it",
                   OPTION_TEXT, &recover.root_key),
        OPTION_ROW(0, "force", NULL, "Though a peer holds more, or there is a quorum", OPTION_FLAG,
                   &recover.force),
        OPTION_ROW(0, "alone", NULL, "Without any key that others believe; shut the old voters out",
                   OPTION_FLAG, &recover.alone),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 0)
        return cli_usage(cli, "recover is for the peer that is asked: it takes no argument");
    if (recover.alone && recover.root_key)
        return cli_usage(cli, "--alone is for want of the root key");
    if (recover.plans && (recover.yes || recover.force))
        return cli_usage(cli, "--plan does nothing: it goes with neither --yes nor --force");
    if (!recover.plans && !recover.yes && !isatty(STDIN_FILENO))
        return cli_usage(cli, "recover asks before it goes on: without a terminal, give --yes");
    json_t *plan = NULL;
    rc = cli_ask(cli, "recover.plan", NULL, &plan);
    if (rc != CLI_OK)
        return rc;
    if (cli->format == CLI_TEXT)
        say_plan(plan, &recover);
    else if (recover.plans)
        output_json(plan);
    if (recover.plans) {
        rc = CLI_OK;
    } else if (recover.yes || is_confirmed(plan)) {
        rc = begin(cli, &recover, plan);
    } else {
        puts("not recovered");
        rc = CLI_FAILED;
    }
    json_decref(plan);
    return rc;
}
