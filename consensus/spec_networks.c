/* The networks of a spec: their bytes, their copies, and the addresses in them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ip_network.h"
#include "consensus/codec.h"
#include "consensus/level.h"
#include "consensus/spec.h"

enum {
    NETWORK_FIELDS = 3,
    ADDRESS_FIELDS = 2, /* further ones, from LEVEL_ADDRESSES on */
};

static int copy_network(const struct spec_network *from, struct spec_network *ret)
{
    *ret = (struct spec_network){.internal = from->internal, .address_count = from->address_count};
    memcpy(ret->addresses, from->addresses, sizeof(ret->addresses));
    ret->name = from->name ? strdup(from->name) : NULL;
    if (from->name && !ret->name)
        return -ENOMEM;
    int rc = text_list_copy(&ret->aliases, &from->aliases);
    return rc < 0 ? rc : text_list_copy(&ret->subnets, &from->subnets);
}

int spec_networks_copy(const struct spec_network *networks, size_t count, struct spec_network **ret)
{
    struct spec_network *copies = calloc(count + 1, sizeof(*copies));
    int rc = copies ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = copy_network(&networks[i], &copies[i]);
    if (rc < 0 && copies)
        spec_networks_done(copies, count);
    if (rc == 0)
        *ret = copies;
    return rc;
}

void spec_networks_done(struct spec_network *networks, size_t count)
{
    for (size_t i = 0; networks && i < count; i++) {
        free(networks[i].name);
        text_list_done(&networks[i].aliases);
        text_list_done(&networks[i].subnets);
    }
    free(networks);
}

/* --- Bytes --- */

uint32_t service_spec_level(const struct service_spec *spec)
{
    for (size_t i = 0; i < spec->network_count; i++)
        if (spec->networks[i].subnets.count > 0 || spec->networks[i].address_count > 0)
            return LEVEL_ADDRESSES;
    return 1;
}

static size_t field_count(uint32_t level)
{
    return level >= LEVEL_ADDRESSES ? NETWORK_FIELDS + ADDRESS_FIELDS : NETWORK_FIELDS;
}

void spec_networks_write(struct writer *writer, uint32_t level, const struct spec_network *networks,
                         size_t count)
{
    writer_array(writer, count);
    for (size_t i = 0; i < count; i++) {
        const struct spec_network *network = &networks[i];
        writer_array(writer, field_count(level));
        writer_text(writer, network->name);
        writer_bool(writer, network->internal);
        text_list_write(writer, &network->aliases);
        if (level < LEVEL_ADDRESSES)
            continue;
        text_list_write(writer, &network->subnets);
        writer_array(writer, network->address_count);
        for (size_t j = 0; j < network->address_count; j++)
            writer_binary(writer, network->addresses[j].ip, sizeof(network->addresses[j].ip));
    }
}

static void subnets_read(struct reader *reader, struct text_list *ret)
{
    struct ip_network subnet;
    text_list_read(reader, SPEC_SUBNETS_MAX, IP_NETWORK_TEXT_BYTES - 1, ret);
    for (size_t i = 0; i < ret->count; i++)
        if (ip_network_parse(ret->items[i], &subnet) < 0)
            reader_refuse(reader);
}

static void addresses_read(struct reader *reader, struct spec_network *network)
{
    uint32_t count = 0;
    if (reader_array(reader, &count) == 0 && count > SPEC_ADDRESSES_MAX)
        reader_refuse(reader);
    for (uint32_t i = 0; i < count && reader_check(reader) == 0; i++) {
        struct address *address = &network->addresses[i];
        reader_fixed(reader, address->ip, sizeof(address->ip));
        if (!spec_address_is_valid(address) || (i > 0 && ip_equal(address, address - 1)))
            reader_refuse(reader);
        network->address_count++;
    }
}

struct spec_network *spec_networks_read(struct reader *reader, uint32_t level, size_t *ret_count)
{
    struct spec_network *networks =
        codec_read_items(reader, SPEC_NETWORKS_MAX, sizeof(*networks), ret_count);
    for (size_t i = 0; networks && i < *ret_count; i++) {
        struct spec_network *network = &networks[i];
        reader_array_exact(reader, field_count(level));
        reader_dup_text(reader, &network->name, SPEC_NETWORK_NAME_MAX);
        reader_bool(reader, &network->internal);
        text_list_read(reader, SPEC_ALIASES_MAX, BASE_NAME_BYTES_MAX, &network->aliases);
        if (level < LEVEL_ADDRESSES)
            continue;
        subnets_read(reader, &network->subnets);
        addresses_read(reader, network);
    }
    return networks;
}

/* --- Addresses --- */

bool spec_address_is_valid(const struct address *address)
{
    /* of containers, of services, and what both have by IPv6 (base/ula.h) */
    static const char *const own[] = {"10.88.0.0/16", "10.97.0.0/16", "fd39:8035:57fb::/48", NULL};
    return !ip_is_in(address, own) && ip_is_unicast(address);
}

static const struct address *address_in_both(const struct spec_network *a,
                                             const struct spec_network *b)
{
    for (size_t i = 0; i < a->address_count; i++)
        for (size_t j = 0; j < b->address_count; j++)
            if (ip_equal(&a->addresses[i], &b->addresses[j]))
                return &a->addresses[i];
    return NULL;
}

const struct spec_network *spec_addresses_clash(const struct service_spec *a,
                                                const struct service_spec *b,
                                                const struct address **ret)
{
    for (size_t i = 0; i < a->network_count; i++)
        for (size_t j = 0; j < b->network_count; j++) {
            const struct address *address = address_in_both(&a->networks[i], &b->networks[j]);
            if (!address || strcmp(a->networks[i].name, b->networks[j].name) != 0)
                continue;
            *ret = address;
            return &a->networks[i];
        }
    return NULL;
}
