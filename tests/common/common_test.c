/* SPDX-License-Identifier: Apache-2.0 */
/* Status, arrays, hash, clock, random numbers, sorting, name map. */
#include "common/array.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/namemap.h"
#include "common/random.h"
#include "common/sort.h"
#include "tap.h"

#include <dawnpiper/status.h>
#include <math.h>
#include <stdio.h>

static void test_status(void)
{
    struct dawn_error err;
    char longer[3000];

    is_int(dawn_fail(&err, DAWN_E_IO, "%s: %d", "a", 7), DAWN_E_IO,
           "dawn_fail returns the status");
    is_str(err.text, "a: 7", "and keeps the text");
    is_int(dawn_fail(NULL, DAWN_E_COMM, "x"), DAWN_E_COMM,
           "without an error to fill too");
    dawn_fail(&err, DAWN_E_IO, "b: %s", err.text);
    is_str(err.text, "b: a: 7", "its own text may be an argument");
    dawn_fail(&err, DAWN_E_IO, "one\ntwo\033");
    is_str(err.text, "one?two?", "control characters do not get through");
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    dawn_fail(&err, DAWN_E_IO, "%s", longer);
    is_int((int64_t)strlen(err.text), (int64_t)sizeof err.text - 1,
           "a long text is cut");
    is_str(dawn_status_name(DAWN_E_NOFIT), "E_NOFIT", "a status has a name");
    is_str(dawn_status_text(DAWN_E_NOFIT), "does not fit the memory",
           "and a text");
    is_str(dawn_status_name((enum dawn_status) - 99), "?",
           "a number that is no status has none");
    ok(strchr(dawn_version(), '.') != NULL, "there is a version");
}

static void test_array(void)
{
    int *array = NULL, room = 0;
    bool all = true;

    for (int i = 0; i < 1000; i++) {
        all = all && dawni_array_reserve(&array, &room, i + 1);
        array[i] = i;
    }
    for (int i = 0; i < 1000; i++)
        all = all && array[i] == i;
    ok(all, "an array grows and keeps its elements");
    ok(!dawni_array_reserve_bytes(&array, &room, INT_MAX, SIZE_MAX / 4),
       "a size that overflows is refused");
    ok(!dawni_array_reserve(&array, &room, -1), "so is a negative count");
    ok(room >= 1000 && array[999] == 999, "nothing has changed then");
    free(array);
    void *none = dawni_calloc(0, 8);
    ok(none != NULL, "calloc of nothing is no failure");
    free(none);
    ok(!dawni_calloc(-1, 8), "calloc of a negative count is one");
}

static void test_hash(void)
{
    struct dawni_hash h;

    is_u64(dawni_hash_of("", 0), 0x2d06800538d394c2u,
           "xxh3 of nothing is the published value");
    dawni_hash_init(&h);
    for (int i = 0; i < 1000; i++)
        dawni_hash_add(&h, "0123456789", 10);
    char all[10000];
    for (int i = 0; i < 1000; i++)
        memcpy(all + 10 * i, "0123456789", 10);
    is_u64(dawni_hash_end(&h), dawni_hash_of(all, sizeof all),
           "pieces hash like the whole");
    dawni_hash_init(&h);
    dawni_hash_add_str(&h, "ab");
    dawni_hash_add_str(&h, "c");
    uint64_t ab_c = dawni_hash_end(&h);
    dawni_hash_init(&h);
    dawni_hash_add_str(&h, "a");
    dawni_hash_add_str(&h, "bc");
    ok(ab_c != dawni_hash_end(&h), "where a string ends matters");
    dawni_hash_init(&h);
    dawni_hash_add_u64(&h, 0x0807060504030201u);
    is_u64(dawni_hash_end(&h), dawni_hash_of("\1\2\3\4\5\6\7\10", 8),
           "numbers are little-endian");
    dawni_hash_init(&h);
    dawni_hash_add_double(&h, 0.0);
    uint64_t zero = dawni_hash_end(&h);
    dawni_hash_init(&h);
    dawni_hash_add_double(&h, -0.0);
    ok(zero != dawni_hash_end(&h), "0 and -0 differ");
}

static void test_random(void)
{
    struct dawni_u32x4 a = dawni_philox(0, 0, 0);
    struct dawni_u32x4 b = dawni_philox(UINT64_MAX, UINT64_MAX, UINT64_MAX);
    struct dawni_u32x4 c = dawni_philox(
        0x299f31d0a4093822u, 0x0370734413198a2eu, 0x85a308d3243f6a88u);
    const uint32_t wanted[3][4] = {
        {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};

    ok(!memcmp(a.v, wanted[0], 16) && !memcmp(b.v, wanted[1], 16) &&
           !memcmp(c.v, wanted[2], 16),
       "Philox4x32-10 gives the published vectors");
    ok(dawni_uniform(0) > 0 && dawni_uniform(UINT32_MAX) < 1,
       "a uniform number is above 0 and below 1");
    ok(dawni_uniform_f32(0) == 0 && dawni_uniform_f32(UINT32_MAX) < 1,
       "a float one is at least 0 and below 1");
    double sum = 0, squares = 0, x[4];
    for (uint64_t i = 0; i < 25000; i++) {
        dawni_normal(dawni_philox(1, 2, i), x);
        for (int k = 0; k < 4; k++) {
            sum += x[k];
            squares += x[k] * x[k];
        }
    }
    is_near(sum / 1e5, 0, 0.015, "normal numbers have mean 0");
    is_near(squares / 1e5, 1, 0.02, "and variance 1");
}

static void test_sort(void)
{
    int whole[] = {3, -7, 3, 0};
    double odd[] = {5, -1, 2}, even[] = {8, 1, 4, 2}, one[] = {6};

    dawni_sort_ints(whole, 4);
    ok(whole[0] == -7 && whole[1] == 0 && whole[2] == 3 && whole[3] == 3,
       "whole numbers are sorted");
    ok(dawni_median(odd, 3) == 2 && odd[0] == -1 && odd[2] == 5,
       "the median of three, which are sorted");
    ok(dawni_median(even, 4) == 3, "of four: the mean of the middle two");
    ok(dawni_median(one, 1) == 6, "of one");
}

static void test_version(void)
{
    char text[32];

    snprintf(text, sizeof text, "%d.%d.%d", DAWN_VERSION_MAJOR,
             DAWN_VERSION_MINOR, DAWN_VERSION_PATCH);
    is_str(text, DAWN_VERSION, "the numbers of the version are its text");
    is_str(dawn_version(), DAWN_VERSION, "configure.ac has the same version");
}

static void test_nan(void)
{
    struct dawn_error err;

    dawn_fail(&err, DAWN_E_NUMERIC, "%g, then x-nan, -nano, -nan and -nan.",
              -NAN);
    is_str(err.text, "nan, then x-nan, -nano, nan and nan.",
           "a NaN has no sign in messages");
}

/* Nine times of a message, three of them undisturbed, the others eight times as
 * long: number 9 / 4 = 2 from below is the third, 1.02. */
static void test_quartiles(void)
{
    double disturbed[] = {8, 8.5, 1.02, 8, 9, 1.01, 70, 1, 8};
    double even[] = {4, 1, 3, 2};
    struct dawni_quartiles q = dawni_quartiles(disturbed, 9);

    ok(q.low == 1.02 && q.high == 8.5,
       "quartiles of nine: the third from below and from above");
    q = dawni_quartiles(even, 4);
    ok(q.low == 2 && q.high == 3, "of four: the second ones");
    q = dawni_quartiles(even, 1);
    ok(q.low == 1 && q.high == 1, "of one: that one");
}

static void test_namemap(void)
{
    static char name[20000][16];
    struct dawni_namemap *map = dawni_namemap_create();
    bool all = true;

    for (int i = 0; i < 20000; i++) {
        snprintf(name[i], sizeof name[i], "node%d", i);
        all = all && !dawni_namemap_add(map, name[i], i);
    }
    for (int i = 0; i < 20000; i++)
        all = all && dawni_namemap_find(map, name[i]) == i;
    ok(all, "20000 names are found again");
    is_int(dawni_namemap_find(map, "node20000"), -1, "an absent one is not");
    is_int(dawni_namemap_add(map, "node7", 9), DAWN_E_INVAL,
           "a name cannot be added twice");
    is_int(dawni_namemap_find(map, "node7"), 7, "and keeps its number");
    dawni_namemap_destroy(map);
    dawni_namemap_destroy(NULL);
}

/* Three looks 30 ms, 8 s and 70 ms after the one before: 30 + 100 + 70 ms. */
static void test_wait(void)
{
    const uint64_t ms = 1000000, begin = 123 * ms;
    struct dawni_wait wait = {.looked_ns = begin};

    ok(dawni_wait_look(&wait, begin + 30 * ms) == 30e6, "30 ms count");
    ok(dawni_wait_look(&wait, begin + 8030 * ms) == 130e6,
       "of 8 s in which nobody looked, 100 ms do");
    ok(dawni_wait_look(&wait, begin + 8100 * ms) == 200e6,
       "and then all time again");
}

int main(void)
{
    plan_lazy();
    test_status();
    test_array();
    test_hash();
    test_random();
    test_sort();
    test_quartiles();
    test_nan();
    test_version();
    test_namemap();
    test_wait();
    uint64_t before = dawni_now_ns();
    ok(dawni_now_ns() >= before && before > 0, "the clock does not go back");
    return done_testing();
}
