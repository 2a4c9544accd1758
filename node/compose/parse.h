/* What the files that read parts of a Compose file share. Readers return 0 or a negative errno with
 * file, line and key in the context's error.
 */
#pragma once

#include "node/compose/compose.h"
#include "node/compose/tree.h"

struct parse {
    const char *path;   /* the first file's */
    const char *folder; /* the project's, absolute */
    const struct tree_node *root;
    const struct variables *variables;
    struct compose_result *result;
    struct error *error;
};

/* A key and how its value is read into `target`; NULL `read`: known, but not supported. */
struct parse_key {
    const char *name;
    int (*read)(struct parse *parse, const struct tree_node *node, void *target);
};

/* Why a key of the Compose Specification is not supported; NULL: it is not, that is all. */
const char *parse_reason(const char *key);

/* Reads every entry of a map by the table (it ends with a NULL name). Keys that begin with "x-" are
 * passed over unless the table has them; others are errors that name the nearest key. */
int parse_map(struct parse *parse, const struct tree_node *map, const struct parse_key *keys,
              void *target);

/* Reads nothing: for keys that are read, or carried out, elsewhere, or are for people alone. */
int parse_pass_over(struct parse *parse, const struct tree_node *node, void *target);

/* "path:line: key: words": what is wrong, or (warning) what is left out. */
int parse_fail(struct parse *parse, const struct tree_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int parse_warn(struct parse *parse, const struct tree_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int parse_text(struct parse *parse, const struct tree_node *node, char **ret);
int parse_flag(struct parse *parse, const struct tree_node *node, bool *ret);
int parse_number(struct parse *parse, const struct tree_node *node, uint64_t max, uint64_t *ret);
int parse_u32(struct parse *parse, const struct tree_node *node, uint32_t *ret);

/* A number, or -1 for 0: no limit. */
int parse_pids(struct parse *parse, const struct tree_node *node, uint32_t *ret);
int parse_integer(struct parse *parse, const struct tree_node *node, int32_t min, int32_t max,
                  int32_t *ret);
/* A mode, as 0440 or 0o440; a plain number without that 0 is decimal, and a warning. */
int parse_octal(struct parse *parse, const struct tree_node *node, uint32_t max, uint32_t *ret);
int parse_duration(struct parse *parse, const struct tree_node *node, uint32_t *ret_ms);
int parse_size(struct parse *parse, const struct tree_node *node, uint64_t *ret_bytes);
int parse_cpus(struct parse *parse, const struct tree_node *node, uint32_t *ret_millis);

/* The text as a path on this machine, absolute: relative ones begin at the folder of the file that
 * they stand in, "~" is the operator's home. The caller frees `*ret`. */
int parse_path(struct parse *parse, const struct tree_node *node, const char *text, char **ret);

/* What a volume, network, config or secret of the top level is called (NULL: nothing is said), and
 * whether it is there already: `external: true`, or as older files have it, `external: {name: …}`.
 */
int parse_external(struct parse *parse, const struct tree_node *item, bool *ret_is_external,
                   const struct tree_node **ret_name);

/* One of the words; its index. The list ends with NULL. */
int parse_word(struct parse *parse, const struct tree_node *node, const char *const *words,
               uint8_t *ret);

/* A list of texts, or a single one. */
int parse_list(struct parse *parse, const struct tree_node *node, struct text_list *ret);

/* "KEY=VALUE" each, from a list or a map; without a value, from the environment. */
int parse_pairs(struct parse *parse, const struct tree_node *node, struct text_list *ret);

/* An argument vector: a list as it is, a text split at white space, quotes respected. */
int parse_command(struct parse *parse, const struct tree_node *node, struct text_list *ret);

/* parse_sandbox.c: */
int read_privileged(struct parse *parse, const struct tree_node *node, void *spec);
int read_shm_size(struct parse *parse, const struct tree_node *node, void *spec);
int read_cpu_shares(struct parse *parse, const struct tree_node *node, void *spec);
int read_cpu_quota(struct parse *parse, const struct tree_node *node, void *spec);
int read_cpuset(struct parse *parse, const struct tree_node *node, void *spec);
int read_group_add(struct parse *parse, const struct tree_node *node, void *spec);
int read_dns_search(struct parse *parse, const struct tree_node *node, void *spec);
int read_dns_opt(struct parse *parse, const struct tree_node *node, void *spec);
int read_sysctls(struct parse *parse, const struct tree_node *node, void *spec);
int read_oom_score_adj(struct parse *parse, const struct tree_node *node, void *spec);
int read_memswap_limit(struct parse *parse, const struct tree_node *node, void *spec);
int read_ulimits(struct parse *parse, const struct tree_node *node, void *spec);
int read_devices(struct parse *parse, const struct tree_node *node, void *spec);
int read_security_opt(struct parse *parse, const struct tree_node *node, void *spec);
int read_logging(struct parse *parse, const struct tree_node *node, void *spec);

/* A path inside a container: absolute, without "..", not the root itself. `target` is made so, or
 * refused. */
int parse_target(struct parse *parse, const struct tree_node *node, char *target);

/* Letters, digits, '-', '_' and '.', at most 63, as the Compose Specification has it. */
bool parse_service_name_is_valid(const char *name);

/* realloc() for one more item, zeroed. */
void *parse_grow(void *items, size_t count, size_t size);

/* parse_service.c, parse_deploy.c, parse_ports.c, parse_storage.c: */
int parse_service(struct parse *parse, const struct tree_node *node, struct service_spec *spec);
int read_deploy(struct parse *parse, const struct tree_node *node, void *spec);
int read_health(struct parse *parse, const struct tree_node *node, void *spec);
int read_ports(struct parse *parse, const struct tree_node *node, void *spec);
int read_expose(struct parse *parse, const struct tree_node *node, void *target);
int read_volumes(struct parse *parse, const struct tree_node *node, void *spec);
int read_tmpfs(struct parse *parse, const struct tree_node *node, void *spec);

/* What the service depends on; -E2BIG past SPEC_LIST_ITEMS_MAX. */
int parse_add_dependency(struct parse *parse, const struct tree_node *node, const char *name,
                         uint8_t condition, struct service_spec *spec);

/* parse_links.c: once all services have been read, for what one says of another. */
int parse_links(struct parse *parse);

/* parse_hooks.c: */
int read_post_start(struct parse *parse, const struct tree_node *node, void *spec);
int read_pre_stop(struct parse *parse, const struct tree_node *node, void *spec);

/* parse_options.c: */
int read_annotations(struct parse *parse, const struct tree_node *node, void *spec);
int read_blkio(struct parse *parse, const struct tree_node *node, void *spec);
int read_cgroup(struct parse *parse, const struct tree_node *node, void *spec);
int read_device_rules(struct parse *parse, const struct tree_node *node, void *spec);
int read_domainname(struct parse *parse, const struct tree_node *node, void *spec);
int read_ipc(struct parse *parse, const struct tree_node *node, void *spec);
int read_pid(struct parse *parse, const struct tree_node *node, void *spec);
int read_swappiness(struct parse *parse, const struct tree_node *node, void *spec);
int read_uts(struct parse *parse, const struct tree_node *node, void *spec);
int read_userns(struct parse *parse, const struct tree_node *node, void *spec);

/* Once a service was read: what can't stand beside userns_mode: auto. */
int parse_check_userns(struct parse *parse, const struct tree_node *node,
                       const struct service_spec *spec);

/* parse_addresses.c: */
int read_ipam(struct parse *parse, const struct tree_node *node, void *target);
int read_ipv4_address(struct parse *parse, const struct tree_node *node, void *target);
int read_ipv6_address(struct parse *parse, const struct tree_node *node, void *target);

/* The subnets of a network of the top level, which may be NULL. */
int parse_subnets(struct parse *parse, const struct tree_node *network, struct spec_network *ret);

/* That a service's addresses in the network are such as the top level's `network` has; `settings`
 * is where the service says them. */
int parse_check_network_addresses(struct parse *parse, const struct tree_node *settings,
                                  const struct tree_node *network, const struct spec_network *spec);

/* Once all services have been read: that no two have one address in a network. */
int parse_check_addresses(struct parse *parse);

/* parse_networks.c: */
int read_top_networks(struct parse *parse, const struct tree_node *node, void *target);
int read_networks(struct parse *parse, const struct tree_node *node, void *target);
int read_network_mode(struct parse *parse, const struct tree_node *node, void *target);
int read_dns(struct parse *parse, const struct tree_node *node, void *target);

/* A further name of the service, on all of its networks. */
int parse_add_alias(struct parse *parse, const struct tree_node *node, const char *alias,
                    struct service_spec *spec);

/* Once all keys of the service have been read. */
int parse_service_networks(struct parse *parse, const struct tree_node *node,
                           struct service_spec *spec);

/* parse_files.c: */
int read_configs(struct parse *parse, const struct tree_node *node, void *spec);
int read_secrets(struct parse *parse, const struct tree_node *node, void *spec);

/* The top level's configs or secrets: their files' contents become blobs. */
int parse_blobs(struct parse *parse, const struct tree_node *node, enum spec_file_kind kind);
