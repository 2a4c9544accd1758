/* Runs etcd's test scripts against Consort's Raft.
 *
 *     raft_script DIR…     every file under each directory (or a single file)
 *
 * Prints a line a file: `same`, `skipped` with the reason, or the first difference with file and
 * line; closes with "N passed, N failed, N skipped". Exit code 1 if any failed, 77 (skipped, for
 * meson) if a directory is not there, 2 for wrong usage. What a file is about shows in its first
 * directive, not in its name.
 */
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>

#include "tests/etcd/configuration.h"
#include "tests/etcd/run.h"

enum {
    EXIT_SKIPPED = 77,
    EXIT_USAGE = 2,
};

enum outcome differs(const struct script *script, const struct directive *directive,
                     const char *what, const char *expected, const char *found,
                     struct buffer *ret_why)
{
    append_text(ret_why, "%s:%zu: %s: %s: etcd has %s, here it is %s", script->path,
                directive->line, directive->text, what, expected, found);
    return OUTCOME_DIFFERENT;
}

typedef enum outcome (*run_function)(struct script *script, struct buffer *ret_why);

static run_function kind_of(const char *path)
{
    static const char *const quorum[] = {"committed", "vote"};
    static const char *const change[] = {"simple", "enter-joint", "leave-joint"};
    struct script script;
    struct directive directive;
    run_function run = run_interaction;
    if (script_open(&script, path) < 0)
        return NULL;
    if (script_next(&script, &directive)) {
        const char *name = directive_name(&directive);
        for (size_t i = 0; i < sizeof(quorum) / sizeof(quorum[0]); i++)
            run = strcmp(name, quorum[i]) == 0 ? run_quorum : run;
        for (size_t i = 0; i < sizeof(change) / sizeof(change[0]); i++)
            run = strcmp(name, change[i]) == 0 ? run_confchange : run;
        directive_done(&directive);
    } else {
        run = NULL;
    }
    script_close(&script);
    return run;
}

struct counts {
    unsigned passed, failed, skipped;
};

static void run_file(const char *path, struct counts *counts)
{
    cleanup_buffer struct buffer why;
    struct script script;
    run_function run = kind_of(path);
    buffer_init(&why);
    if (!run || script_open(&script, path) < 0) {
        counts->failed++;
        printf("%s: no script that can be read\n", path);
        return;
    }
    enum outcome outcome = run(&script, &why);
    script_close(&script);
    counts->passed += outcome == OUTCOME_SAME;
    counts->failed += outcome == OUTCOME_DIFFERENT;
    counts->skipped += outcome == OUTCOME_SKIPPED;
    if (outcome == OUTCOME_SAME)
        printf("%s: same\n", path);
    else
        printf("%s%s\n", outcome == OUTCOME_SKIPPED ? "skipped: " : "", text_of(&why));
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Scripts are the files called *.txt; a file that is named itself may be called anything. */
static bool is_script(const FTSENT *entry)
{
    const char *end = strrchr(entry->fts_name, '.');
    return entry->fts_info == FTS_F && (entry->fts_level == 0 || (end && !strcmp(end, ".txt")));
}

int main(int argc, char **argv)
{
    struct counts counts = {0};
    if (argc < 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: raft_script DIR…\n"
                        "Runs every *.txt under each directory: scripts of etcd's Raft library.\n");
        return EXIT_USAGE;
    }
    FTS *tree = fts_open(argv + 1, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    FTSENT *entry;
    bool is_missing = false;
    if (!tree) {
        perror("raft_script");
        return EXIT_FAILURE;
    }
    while ((entry = fts_read(tree))) {
        if (is_script(entry))
            run_file(entry->fts_path, &counts);
        else if (entry->fts_info == FTS_NS && entry->fts_errno == ENOENT)
            is_missing = true;
    }
    fts_close(tree);
    if (is_missing)
        printf("skipped: there are no scripts here\n");
    printf("%u passed, %u failed, %u skipped\n", counts.passed, counts.failed, counts.skipped);
    if (counts.failed > 0)
        return EXIT_FAILURE;
    return is_missing || counts.passed == 0 ? EXIT_SKIPPED : EXIT_SUCCESS;
}
