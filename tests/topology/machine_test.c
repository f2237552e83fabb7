/* SPDX-License-Identifier: Apache-2.0 */
/* Machines: defaults, round trips, and what is refused. */
#include "common/scratch.h"
#include "tap.h"

#include <dawnpiper/machine.h>
#include <math.h>

static void test_defaults(void)
{
    struct dawn_machine *m = NULL;
    struct dawn_error err;

    is_int(dawn_machine_create(3, &m, &err), DAWN_OK, "a machine is made");
    is_int(dawn_machine_devices(m), 3, "it has 3 devices");
    is_str(dawn_machine_device(m, 2)->kind, "host", "of kind host");
    ok(dawn_machine_device(m, 0)->speed == 1 &&
           dawn_machine_device(m, 0)->memory_bytes == 0,
       "of speed 1 and unknown memory");
    ok(dawn_machine_link(m, 0, 2)->latency_ns == 2000 &&
           dawn_machine_link(m, 2, 1)->bytes_per_s == 5e9,
       "linked by 5 GB/s and 2 us");
    is_int(dawn_machine_tiers(m), 0, "it has no tier");
    is_str(dawn_machine_notes(m), "", "nor notes");
    ok(!dawn_machine_device(m, 3) && !dawn_machine_device(m, -1) &&
           !dawn_machine_link(m, 0, 3) && !dawn_machine_link(m, -1, 0) &&
           !dawn_machine_tier(m, 0),
       "out of range there is nothing");
    dawn_machine_destroy(m);
    dawn_machine_destroy(NULL);
    m = NULL;
    ok(dawn_machine_create(0, &m, &err) == DAWN_E_INVAL &&
           dawn_machine_create(4097, &m, &err) == DAWN_E_INVAL && !m,
       "refused: %s", err.text);
}

static struct dawn_machine *make(void)
{
    const struct dawn_machine_tier ssd = {.kind = "ssd",
                                          .path = "/tmp/a b",
                                          .read_bytes_per_s = 2.5e9,
                                          .write_bytes_per_s = 1e9 / 3,
                                          .latency_ns = 1e5,
                                          .compute_ns_per_byte = 0.1,
                                          .capacity_bytes = (uint64_t)1 << 60,
                                          .spread = 1.25};
    struct dawn_machine *m = NULL;

    if (dawn_machine_create(3, &m, NULL) ||
        dawn_machine_add_tier(m, &ssd, NULL) ||
        dawn_machine_set_notes(m, "Machine\n  Core 0\n\n  Core 1\n", NULL))
        abort();
    strcpy(dawn_machine_device(m, 1)->name, "second");
    strcpy(dawn_machine_device(m, 1)->kind, "cuda");
    dawn_machine_device(m, 1)->memory_bytes = (uint64_t)80 << 30;
    dawn_machine_device(m, 1)->cores = 132;
    dawn_machine_device(m, 1)->speed = 0.1;
    *dawn_machine_link(m, 0, 1) = (struct dawn_machine_link){10, 1e10, 0};
    *dawn_machine_link(m, 2, 0) =
        (struct dawn_machine_link){0.5, 1e10 / 3, 1.1};
    return m;
}

static void test_round_trip(void)
{
    struct dawn_machine *m = make(), *n = NULL;
    struct dawn_error err = {DAWN_OK, ""};

    is_int(dawn_machine_save(m, scratch_path("m.yaml"), &err), DAWN_OK,
           "a machine is saved %s", err.text);
    is_int(dawn_machine_load(scratch_path("m.yaml"), &n, &err), DAWN_OK,
           "and loaded %s", err.text);
    if (!n)
        return;
    dawn_machine_save(n, scratch_path("n.yaml"), &err);
    char *a = scratch_read("m.yaml"), *b = scratch_read("n.yaml");
    ok(a && b && !strcmp(a, b), "saved again, it gives the same bytes");
    free(a);
    free(b);
    ok(!memcmp(dawn_machine_device(m, 1), dawn_machine_device(n, 1),
               sizeof(struct dawn_machine_device)),
       "devices come back");
    bool all = true;
    for (int i = 0; i < 9; i++)
        all = all && !memcmp(dawn_machine_link(m, i / 3, i % 3),
                             dawn_machine_link(n, i / 3, i % 3),
                             sizeof(struct dawn_machine_link));
    ok(all, "so do links");
    ok(!memcmp(dawn_machine_tier(m, 0), dawn_machine_tier(n, 0),
               sizeof(struct dawn_machine_tier)),
       "and tiers");
    is_str(dawn_machine_notes(n), dawn_machine_notes(m), "and notes");
    dawn_machine_destroy(m);
    dawn_machine_destroy(n);
}

static void test_unsteady(void)
{
    struct dawn_machine *m = make();
    char text[100], none[1] = "x", few[30];

    is_str(dawn_machine_unsteady(m, text, sizeof text), "",
           "no spread is above 1.5");
    dawn_machine_link(m, 0, 2)->spread = 8.02;
    dawn_machine_link(m, 1, 2)->spread = 1.5;
    dawn_machine_link(m, 1, 1)->spread = 2;
    dawn_machine_tier(m, 0)->spread = 1.75;
    is_str(dawn_machine_unsteady(m, text, sizeof text),
           "link 0-2 (spread 8.0), link 1-1 (spread 2.0), ssd (spread 1.8)",
           "what is measured badly is named");
    is_str(dawn_machine_unsteady(m, few, sizeof few), "link 0-2 (spread 8.0)",
           "as much of it as there is room for");
    is_str(dawn_machine_unsteady(m, none, 1), "", "or nothing");
    dawn_machine_destroy(m);
}

static void test_hand(void)
{
    struct dawn_machine *m = NULL;
    struct dawn_error err = {DAWN_OK, ""};

    scratch_write("hand.yaml", "dawn: machine/1\n"
                               "devices:\n"
                               "- {memory_bytes: 600MiB}\n"
                               "- {memory_bytes: 1GiB, speed: 2}\n"
                               "links:\n"
                               "  default: {bytes_per_s: 1.0e+10}\n"
                               "  pairs:\n"
                               "  - {from: 1, to: 0, latency_ns: 7}\n");
    is_int(dawn_machine_load(scratch_path("hand.yaml"), &m, &err), DAWN_OK,
           "a machine by hand needs no more than this %s", err.text);
    if (!m)
        return;
    is_u64(dawn_machine_device(m, 0)->memory_bytes, (uint64_t)600 << 20,
           "sizes may have a suffix");
    ok(dawn_machine_link(m, 0, 1)->latency_ns == 2000 &&
           dawn_machine_link(m, 0, 1)->bytes_per_s == 1e10,
       "links left out are the default's");
    ok(dawn_machine_link(m, 1, 0)->latency_ns == 7 &&
           dawn_machine_link(m, 1, 0)->bytes_per_s == 1e10,
       "a pair takes from it what it does not say");
    dawn_machine_destroy(m);
}

#define HEAD "dawn: machine/1\n"
static const struct {
    const char *text, *wanted;
} bad[] = {
    {"dawn: plan/1\n", ":1: key 'dawn': expected machine/1, found 'plan/1'"},
    {HEAD, ":1: key 'devices' is missing"},
    {HEAD "devices: []\n", ":2: 0 devices, must be 1 to 4096"},
    {HEAD "devices: 2\n", ":2: key 'devices': expected a list, found '2'"},
    {HEAD "devices: [2]\n", ":2: key 'devices': expected a mapping, found '2'"},
    {HEAD "devices:\n- {kind: tpu}\n",
     ":3: key 'kind': expected host or cuda, found 'tpu'"},
    {HEAD "devices:\n- {speed: 0}\n",
     ":3: key 'speed': expected a number from 1.0e-06 to 1000000, found '0'"},
    {HEAD "devices:\n- {memory: 1}\n",
     ":3: unknown key 'memory'; known here: name, kind, memory_bytes"},
    {HEAD "devices: [{}]\nlinks: {default: {from: 1}}\n",
     ":3: unknown key 'from'; known here: latency_ns, bytes_per_s"},
    {HEAD "devices: [{}]\nlinks: {default: {bytes_per_s: 0}}\n",
     ":3: key 'bytes_per_s': expected a number from 1 to 1.0e+18"},
    {HEAD "devices: [{}]\nlinks: {default: {bytes_per_s: 1e-300}}\n",
     ":3: key 'bytes_per_s': expected a number from 1 to 1.0e+18, found "
     "'1e-300'"},
    {HEAD "devices: [{}]\nlinks: {default: {latency_ns: 1e300}}\n",
     ":3: key 'latency_ns': expected a number from 0 to 1.0e+18"},
    {HEAD "devices:\n- {memory_bytes: 9223372036854775808}\n",
     ":3: key 'memory_bytes': expected a size from 0 to 1152921504606846976 "
     "bytes, found '9223372036854775808'"},
    {HEAD "devices: [{}]\nlinks:\n  pairs:\n  - {from: 0}\n",
     ":5: key 'to' is missing"},
    {HEAD "devices: [{}]\nlinks:\n  pairs:\n  - {from: 0, to: 1}\n",
     ":5: link from 0 to 1, devices are 0 to 0"},
    {HEAD "devices: [{}]\ntiers:\n- {kind: tape}\n",
     ":4: key 'kind': expected ssd or host, found 'tape'"},
    {HEAD "devices: [{}]\ntiers:\n- {kind: ssd}\n",
     ":4: key 'read_bytes_per_s' is missing"},
    {HEAD "devices: [{}]\ntiers:\n- kind: ssd\n  compute_ns_per_byte: -1\n",
     ":5: key 'compute_ns_per_byte': expected a number"},
    {HEAD "devices: [{}]\nnotes: [a]\n", ":3: key 'notes': expected a string"},
};

static void test_bad(void)
{
    struct dawn_machine *m = NULL;
    struct dawn_error err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        scratch_write("bad.yaml", bad[i].text);
        int st = dawn_machine_load(scratch_path("bad.yaml"), &m, &err);
        if (!ok(st == DAWN_E_FORMAT && !m && strstr(err.text, "/bad.yaml:") &&
                    strstr(err.text, bad[i].wanted),
                "refused: %s", err.text))
            diag("wanted %s", bad[i].wanted);
    }
    is_int(dawn_machine_load(scratch_path("none"), &m, &err), DAWN_E_IO,
           "a missing file: %s", err.text);
    m = make();
    dawn_machine_link(m, 0, 1)->latency_ns = NAN;
    is_int(dawn_machine_save(m, scratch_path("bad.yaml"), &err), DAWN_E_NUMERIC,
           "a NaN is not saved: %s", err.text);
    strcpy(dawn_machine_device(m, 0)->name, "\377");
    is_int(dawn_machine_save(m, scratch_path("bad.yaml"), &err), DAWN_E_INVAL,
           "nor a name that is not UTF-8: %s", err.text);
    dawn_machine_destroy(m);
}

int main(void)
{
    plan_lazy();
    scratch_make();
    test_defaults();
    test_round_trip();
    test_unsteady();
    test_hand();
    test_bad();
    return done_testing();
}
