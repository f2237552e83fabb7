/* SPDX-License-Identifier: Apache-2.0 */
/* Test Anything Protocol: see tap.h. */
#include "tap.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tests, failures;
static bool quiet;

int tap_cases(int all)
{
#ifdef __SANITIZE_ADDRESS__
    return (all + 3) / 4;
#else
    return all;
#endif
}

static void result(struct tap_place place, bool passed, const char *claim,
                   va_list args)
{
    FILE *out = quiet ? stderr : stdout;

    tests++;
    failures += !passed;
    if (!quiet || !passed) {
        fprintf(out, "%sok %d - ", passed ? "" : "not ", tests);
        vfprintf(out, claim, args);
        fputc('\n', out);
    }
    if (!passed)
        fprintf(out, "# at %s:%d\n", place.file, place.line);
    fflush(out);
}

#define RESULT(passed)                                                         \
    do {                                                                       \
        va_list args;                                                          \
        va_start(args, claim);                                                 \
        result(place, (passed), claim, args);                                  \
        va_end(args);                                                          \
    } while (0)

void plan_lazy(void)
{
    tests = failures = 0;
    quiet = false;
}

void plan_skip(const char *format, ...)
{
    va_list args;

    printf("1..0 # SKIP ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

void plan_quiet(void)
{
    plan_lazy();
    quiet = true;
}

int done_testing(void)
{
    if (!quiet)
        printf("1..%d\n", tests);
    fflush(stdout);
    return failures != 0;
}

void skip(const char *why, ...)
{
    va_list args;

    tests++;
    if (quiet)
        return;
    printf("ok %d # SKIP ", tests);
    va_start(args, why);
    vprintf(why, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

void diag(const char *format, ...)
{
    FILE *out = quiet ? stderr : stdout;
    va_list args;

    fputs("# ", out);
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fputc('\n', out);
    fflush(out);
}

bool tap_ok(struct tap_place place, bool passed, const char *cond,
            const char *claim, ...)
{
    RESULT(passed);
    if (!passed)
        diag("false: %s", cond);
    return passed;
}

bool tap_is_int(struct tap_place place, int64_t got, int64_t wanted,
                const char *claim, ...)
{
    RESULT(got == wanted);
    if (got != wanted)
        diag("got %" PRId64 ", wanted %" PRId64, got, wanted);
    return got == wanted;
}

bool tap_is_u64(struct tap_place place, uint64_t got, uint64_t wanted,
                const char *claim, ...)
{
    RESULT(got == wanted);
    if (got != wanted)
        diag("got %" PRIu64 " (0x%" PRIx64 "), wanted %" PRIu64 " (0x%" PRIx64
             ")",
             got, got, wanted, wanted);
    return got == wanted;
}

bool tap_is_str(struct tap_place place, const char *got, const char *wanted,
                const char *claim, ...)
{
    bool same = got && wanted ? strcmp(got, wanted) == 0 : got == wanted;

    RESULT(same);
    if (!same) {
        diag("got    %s", got ? got : "(null)");
        diag("wanted %s", wanted ? wanted : "(null)");
    }
    return same;
}

bool tap_is_near(struct tap_place place, double got, double wanted,
                 double margin, const char *claim, ...)
{
    bool near = fabs(got - wanted) <= margin;

    RESULT(near);
    if (!near)
        diag("got %.17g, wanted %.17g within %g (off by %g)", got, wanted,
             margin, got - wanted);
    return near;
}
