/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and times, from and for people. */
#include "units.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const struct {
    const char *name;
    double factor;
} unit[] = {
    {"", 1},         {"B", 1},        {"KiB", 0x1p10}, {"MiB", 0x1p20},
    {"GiB", 0x1p30}, {"TiB", 0x1p40}, {"K", 0x1p10},   {"M", 0x1p20},
    {"G", 0x1p30},   {"T", 0x1p40},   {"KB", 1e3},     {"MB", 1e6},
    {"GB", 1e9},     {"TB", 1e12},
};

bool size_parse(const char *text, uint64_t *bytes_p)
{
    char *end;
    double number = strtod(text, &end);

    if (end == text || !isfinite(number) || number <= 0)
        return false;
    while (*end == ' ')
        end++;
    for (size_t i = 0; i < sizeof unit / sizeof unit[0]; i++) {
        double bytes = number * unit[i].factor;
        if (strcasecmp(end, unit[i].name) != 0)
            continue;
        if (bytes < 1 || bytes > 0x1p60)
            return false;
        *bytes_p = (uint64_t)bytes;
        return true;
    }
    return false;
}

const char *size_text(uint64_t bytes, char *buf, size_t room)
{
    static const char *const name[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double number = (double)bytes;
    int k = 0;

    while (number >= 1024 && k < 4) {
        number /= 1024;
        k++;
    }
    snprintf(buf, room, k ? "%.1f %s" : "%.0f %s", number, name[k]);
    return buf;
}

const char *time_text(double ns, char *buf, size_t room)
{
    static const char *const name[] = {"ns", "us", "ms", "s"};
    int k = 0;

    if (isnan(ns)) /* whatever its sign */
        ns = NAN;
    while (ns >= 999.95 && k < 3) {
        ns /= 1000;
        k++;
    }
    snprintf(buf, room,
             ns > 0 && ns < 10 ? "%.2f %s"
             : ns < 1e6        ? "%.1f %s"
                               : "%.4g %s",
             ns, name[k]);
    return buf;
}
