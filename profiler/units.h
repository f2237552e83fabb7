/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and times, from and for people. */
#ifndef PROFILER_UNITS_H
#define PROFILER_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "600MiB", "2GB", "1.5 GiB", "123456": bytes, 1 to 2^60. False for anything
 * else. */
bool size_parse(const char *text, uint64_t *bytes_p);

/* "12.3 MiB", "45.6 ms": at most `room` bytes; return buf. */
const char *size_text(uint64_t bytes, char *buf, size_t room);
const char *time_text(double ns, char *buf, size_t room);

#define TEXT_ROOM 32
#define SIZE(bytes) size_text((bytes), (char[TEXT_ROOM]){0}, TEXT_ROOM)
#define TIME(ns) time_text((ns), (char[TEXT_ROOM]){0}, TEXT_ROOM)

#endif
