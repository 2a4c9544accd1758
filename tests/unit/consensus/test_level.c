/* Level 1 stays as it was: what a peer of the first versions wrote is read, and what is written
 * while it is in force is what such a peer would have written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "base/cleanup.h"
#include "consensus/level.h"
#include "tests/unit/consensus/intent_fixture.h"

/* Bytes that a build without a second level made of the same, as their size and FNV-1a. */
struct known {
    size_t size;
    uint64_t hash;
};

static void expect(struct bytes bytes, const struct known *known)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ bytes.data[i]) * 0x100000001b3;
    if (bytes.size != known->size || hash != known->hash)
        fail_msg("%zu bytes, of hash 0x%llx", bytes.size, (unsigned long long)hash);
}

/* A service with two networks. */
static void make_spec(struct service_spec *spec)
{
    fixture_spec(spec, "web");
    spec->networks = calloc(2, sizeof(*spec->networks));
    assert_non_null(spec->networks);
    spec->networks[0].name = strdup("s_front");
    spec->networks[1] = (struct spec_network){.name = strdup("s_back"), .internal = true};
    spec->network_count = 2;
    assert_int_equal(text_list_add(&spec->networks[0].aliases, "www"), 0);
}

static void add_address(struct service_spec *spec)
{
    spec->networks[0].addresses[spec->networks[0].address_count++] = address_from_v4(0xac1c0005, 0);
}

static struct command make_deploy(const struct fixture *f, struct service_spec *spec)
{
    struct command command = fixture_command(f, COMMAND_DEPLOY);
    command.deploy = (struct command_deploy){.stack = "s", .services = spec, .service_count = 1};
    return command;
}

static struct command make_update(const struct fixture *f, const struct service_spec *spec)
{
    struct command command = fixture_command(f, COMMAND_UPDATE);
    command.update = (struct command_update){"s_web", *spec};
    return command;
}

/* Breaks if a command that level 1 can say is written otherwise than it was, or read otherwise. */
static void test_commands(void **state)
{
    (void)state;
    static const struct known deploy = {169, 0x80641a173ebcfe9e},
                              update = {171, 0xa62f8ed8de4cf74f};
    struct fixture f;
    struct service_spec spec;
    cleanup_buffer struct buffer bytes = {0}, again = {0};
    fixture_init(&f, 2);
    make_spec(&spec);
    struct command command = make_deploy(&f, &spec), read;
    assert_int_equal(command_encode(&command, &bytes), 0);
    expect(buffer_view(&bytes), &deploy);
    assert_int_equal(command_decode(buffer_view(&bytes), &read), 0);
    assert_int_equal(read.head.level, 1);
    assert_string_equal(read.deploy.services[0].networks[0].aliases.items[0], "www");
    assert_int_equal(command_encode(&read, &again), 0);
    expect(buffer_view(&again), &deploy);
    command_done(&read);

    buffer_clear(&bytes);
    command = make_update(&f, &spec);
    assert_int_equal(command_encode(&command, &bytes), 0);
    expect(buffer_view(&bytes), &update);
    assert_int_equal(command_decode(buffer_view(&bytes), &read), 0);
    assert_string_equal(read.update.spec.networks[1].name, "s_back");
    command_done(&read);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a state of level 1 is written otherwise than it was, or can't be read any more. */
static void test_state(void **state)
{
    (void)state;
    static const struct known known = {773, 0x2b3b55ce4bcb814d};
    struct fixture f;
    struct service_spec spec;
    cleanup_buffer struct buffer bytes = {0}, again = {0};
    fixture_init(&f, 2);
    make_spec(&spec);
    assert_int_equal(fixture_deploy(&f, "s", &spec, 1), 0);
    spec.stop_grace_ms++;
    assert_int_equal(fixture_deploy(&f, "s", &spec, 1), 0);
    assert_int_equal(intent_write(f.intent, &bytes), 0);
    expect(buffer_view(&bytes), &known);
    fixture_restart(&f);
    const struct intent_service *web = intent_service_find(f.intent, "s_web");
    assert_int_equal(web->revisions.count, 2);
    assert_string_equal(intent_revision_find(web, 2)->spec.networks[1].name, "s_back");
    assert_int_equal(intent_write(f.intent, &again), 0);
    expect(buffer_view(&again), &known);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a command that level 1 can't say is taken while it is in force, or not after; or if a
 * state that was raised loses what it held. */
static void test_raised(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 2);
    make_spec(&spec);
    assert_int_equal(fixture_deploy(&f, "s", &spec, 1), 0);
    add_address(&spec);
    assert_int_equal(service_spec_level(&spec), LEVEL_ADDRESSES);
    struct command update = make_update(&f, &spec);
    assert_int_equal(fixture_apply(&f, &update), -EPROTONOSUPPORT);
    assert_int_equal(fixture_deploy(&f, "s", &spec, 1), -EPROTONOSUPPORT);
    assert_non_null(strstr(f.result.error.message, "level 2"));

    assert_int_equal(fixture_raise(&f), 0);
    fixture_restart(&f);
    const struct intent_service *web = intent_service_find(f.intent, "s_web");
    assert_int_equal(web->revision, 1);
    assert_string_equal(intent_revision_find(web, 1)->spec.networks[0].aliases.items[0], "www");
    assert_int_equal(fixture_apply(&f, &update), 0);
    fixture_restart(&f);
    web = intent_service_find(f.intent, "s_web");
    assert_int_equal(web->revision, 2);
    assert_int_equal(intent_revision_find(web, 2)->spec.networks[0].address_count, 1);
    assert_int_equal(intent_revision_find(web, 1)->spec.networks[0].address_count, 0);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if the bytes of one level pass for the other's. */
static void test_not_mixed(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    struct command read;
    fixture_init(&f, 1);
    make_spec(&spec);
    for (unsigned with = 0; with < 2; with++) {
        cleanup_buffer struct buffer bytes = {0};
        if (with)
            add_address(&spec);
        struct command command = make_deploy(&f, &spec);
        assert_int_equal(command_encode(&command, &bytes), 0);
        assert_int_equal(bytes.bytes[1], with ? LEVEL_ADDRESSES : 1); /* behind the array's head */
        bytes.bytes[1] = with ? 1 : LEVEL_ADDRESSES;
        assert_int_equal(command_decode(buffer_view(&bytes), &read), -EBADMSG);
    }
    service_spec_done(&spec);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_raised),
        cmocka_unit_test(test_not_mixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
