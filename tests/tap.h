/* SPDX-License-Identifier: Apache-2.0 */
/* Test Anything Protocol, for the tests of this project.
 *
 * The text of a test is a claim, printf style: what is true if it passes. A
 * failure also prints the place and both values. A macro's arguments are
 * evaluated once. One thread at a time.
 *
 *     plan_lazy();
 *     ok(graph != NULL, "a graph of %d nodes is made", n);
 *     is_int(dawn_graph_nodes(graph), n, "it has %d nodes", n);
 *     return done_testing();
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <stdbool.h>
#include <stdint.h>

struct tap_place {
    const char *file;
    int line;
};

#define TAP_PLACE ((struct tap_place){__FILE__, __LINE__})
#define TAP_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Start: the number of tests is told at the end. */
void plan_lazy(void);
/* Instead of it, where a whole program cannot run here. Then return 0. */
void plan_skip(const char *format, ...) TAP_PRINTF(1, 2);
/* Ranks other than 0 of an MPI test: failures go to stderr, nothing to stdout.
 * Agree on the verdict first (all ranks' results, reduced); rank 0 prints it. */
void plan_quiet(void);
/* How many of a number of random cases to try: a quarter of them in a build with
 * sanitizers, where each takes several times as long. */
int tap_cases(int all);
/* End. Returns the exit code of main: 0, or 1 when a test failed. */
int done_testing(void);

/* All return whether the test passed. */
#define ok(cond, ...) tap_ok(TAP_PLACE, (cond), #cond, __VA_ARGS__)
#define is_int(got, wanted, ...)                                               \
    tap_is_int(TAP_PLACE, (got), (wanted), __VA_ARGS__)
#define is_u64(got, wanted, ...)                                               \
    tap_is_u64(TAP_PLACE, (got), (wanted), __VA_ARGS__)
/* NULL equals NULL only */
#define is_str(got, wanted, ...)                                               \
    tap_is_str(TAP_PLACE, (got), (wanted), __VA_ARGS__)
/* |got - wanted| <= margin; never true of a NaN */
#define is_near(got, wanted, margin, ...)                                      \
    tap_is_near(TAP_PLACE, (got), (wanted), (margin), __VA_ARGS__)

/* A test that cannot run here, and why. */
void skip(const char *why, ...) TAP_PRINTF(1, 2);
/* A line of explanation. */
void diag(const char *format, ...) TAP_PRINTF(1, 2);

bool tap_ok(struct tap_place place, bool passed, const char *cond,
            const char *claim, ...) TAP_PRINTF(4, 5);
bool tap_is_int(struct tap_place place, int64_t got, int64_t wanted,
                const char *claim, ...) TAP_PRINTF(4, 5);
bool tap_is_u64(struct tap_place place, uint64_t got, uint64_t wanted,
                const char *claim, ...) TAP_PRINTF(4, 5);
bool tap_is_str(struct tap_place place, const char *got, const char *wanted,
                const char *claim, ...) TAP_PRINTF(4, 5);
bool tap_is_near(struct tap_place place, double got, double wanted,
                 double margin, const char *claim, ...) TAP_PRINTF(5, 6);

#endif
