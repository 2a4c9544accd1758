#include "node/cli/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text_list.h"
#include "node/cli/bounds.h"
#include "node/cli/quantity.h"

enum { LONG_OPTION_BASE = 256 /* getopt_long's values, above every short option */ };

struct global_options {
    const char *format;
    bool help;
};

/* What getopt_long() wants, made of the rows. */
struct getopt_table {
    struct option options[CLI_OPTIONS_MAX + 1];
    char letters[2 * CLI_OPTIONS_MAX + 3];
};

static void make_table(const struct option_row *rows, size_t count, bool ahead,
                       struct getopt_table *ret)
{
    char *letter = ret->letters;
    if (ahead)
        *letter++ = '+';
    *letter++ = ':'; /* a missing value is told from an unknown option */
    for (size_t i = 0; i < count; i++) {
        ret->options[i] =
            (struct option){rows[i].name, rows[i].value ? required_argument : no_argument, NULL,
                            LONG_OPTION_BASE + (int)i};
        if (!rows[i].short_name)
            continue;
        *letter++ = rows[i].short_name;
        if (rows[i].value)
            *letter++ = ':';
    }
    *letter = '\0';
    ret->options[count] = (struct option){0};
}

static int set_value(struct option_row *row, const char *text)
{
    row->is_given = true;
    switch (row->type) {
    case OPTION_FLAG:
        *(bool *)row->target = true;
        return 0;
    case OPTION_TEXT:
        *(const char **)row->target = text;
        return 0;
    case OPTION_LIST:
        return text_list_add(row->target, text);
    case OPTION_COUNT:
        return quantity_parse_count(text, row->target);
    case OPTION_SIZE:
        return quantity_parse_size(text, row->target);
    case OPTION_DURATION:
        return quantity_parse_duration(text, row->target);
    case OPTION_CPUS:
        return quantity_parse_cpus(text, row->target);
    }
    return -EINVAL;
}

static int refuse_value(const struct cli *cli, const struct option_row *row, const char *text)
{
    static const char *const examples[] = {
        [OPTION_COUNT] = "a whole number such as 3",
        [OPTION_SIZE] = "a size such as 512M or 2G",
        [OPTION_DURATION] = "a time such as 10s, 5m or 1h",
        [OPTION_CPUS] = "a number of cores such as 0.5 or 2",
    };
    const char *example = row->type < array_count(examples) ? examples[row->type] : NULL;
    return cli_usage(cli, "--%s %s: want %s", row->name, text, example ? example : "less of it");
}

static void print_help(const struct cli *cli, const struct option_row *rows, size_t count)
{
    printf("Usage: consort %s [OPTIONS]%s%s\n\n%s.\n\nOptions:\n", cli->verb->name,
           *cli->verb->usage ? " " : "", cli->verb->usage, cli->verb->summary);
    for (size_t i = 0; i < count; i++) {
        char left[CLI_TEXT_BYTES_MAX], letter[] = "-x, ";
        letter[1] = rows[i].short_name;
        snprintf(left, sizeof(left), "%s--%s%s%s", rows[i].short_name ? letter : "    ",
                 rows[i].name, rows[i].value ? " " : "", rows[i].value ? rows[i].value : "");
        printf("  %-28s  %s\n", left, rows[i].help);
    }
}

static int take_global(struct cli *cli, const struct global_options *global)
{
    if (!global->format)
        return OPTIONS_GO_ON;
    if (strcmp(global->format, "json") == 0)
        cli->format = CLI_JSON;
    else if (strcmp(global->format, "text") == 0)
        cli->format = CLI_TEXT;
    else
        return cli_usage(cli, "--format %s: want text or json", global->format);
    return OPTIONS_GO_ON;
}

static size_t row_of(const struct option_row *rows, size_t count, int found)
{
    if (found >= LONG_OPTION_BASE)
        return (size_t)(found - LONG_OPTION_BASE);
    size_t i = 0;
    while (i < count && rows[i].short_name != found)
        i++;
    return i;
}

static int parse_rows(struct cli *cli, struct option_row *rows, size_t count, bool ahead, int *argc,
                      char ***argv)
{
    struct getopt_table table;
    int found;
    make_table(rows, count, ahead, &table);
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    while ((found = getopt_long(*argc, *argv, table.letters, table.options, NULL)) != -1) {
        const char *word = optind > 0 ? (*argv)[optind - 1] : "";
        if (found == ':')
            return cli_usage(cli, "%s wants a value", word);
        size_t i = found == '?' ? count : row_of(rows, count, found);
        if (i == count)
            return cli_usage(cli, "there is no option %s", word);
        if (set_value(&rows[i], optarg) < 0)
            return refuse_value(cli, &rows[i], optarg);
    }
    *argc -= optind;
    *argv += optind;
    return OPTIONS_GO_ON;
}

static int parse(struct cli *cli, struct option_row *rows, size_t count, bool ahead, int *argc,
                 char ***argv)
{
    struct global_options global = {0};
    struct option_row all[CLI_OPTIONS_MAX];
    const struct option_row globals[] = {
        OPTION_ROW(0, "socket", "PATH", "The peer's socket (or CONSORT_SOCKET)", OPTION_TEXT,
                   &cli->socket),
        OPTION_ROW(0, "context", "NAME", "A fleet elsewhere: see consort context", OPTION_TEXT,
                   &cli->context),
        OPTION_ROW(0, "format", "text|json", "How to print", OPTION_TEXT, &global.format),
        OPTION_ROW('h', "help", NULL, "Show this", OPTION_FLAG, &global.help),
    };
    size_t total = count + array_count(globals);
    assert(total <= array_count(all));
    if (count > 0)
        memcpy(all, rows, count * sizeof(*rows));
    memcpy(all + count, globals, sizeof(globals));
    int rc = parse_rows(cli, all, total, ahead, argc, argv);
    if (count > 0)
        memcpy(rows, all, count * sizeof(*rows)); /* is_given */
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (global.help) {
        print_help(cli, all, total);
        return CLI_OK;
    }
    return take_global(cli, &global);
}

int options_parse(struct cli *cli, struct option_row *rows, size_t count, int *argc, char ***argv)
{
    return parse(cli, rows, count, false, argc, argv);
}

int options_parse_ahead(struct cli *cli, struct option_row *rows, size_t count, int *argc,
                        char ***argv)
{
    return parse(cli, rows, count, true, argc, argv);
}
