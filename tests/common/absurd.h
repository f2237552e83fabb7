/* SPDX-License-Identifier: Apache-2.0 */
/* A file's text once more for each figure in it and each absurd value: what
 * reads it must refuse the value, or live with it. */
#ifndef TESTS_COMMON_ABSURD_H
#define TESTS_COMMON_ABSURD_H

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct absurd {
    char key[64];
    int line; /* of the figure */
    const char *value;
    char *text; /* the file with `value` in place of the figure */
};

static const char *const absurd_values[] = {
    "1e-300",
    "1e300",
    "-1",
    "nan",
    "inf",
    "0",
    "9223372036854775808",
    "99999999999999999999999999999999999999999999999999999999999999999999999999"
    "99999999999999999999999999999999999999999999999999999999999999999999999999"
    "99999999999999999999999999999999999999999999999999999999999999999999999999"
    "99999999999999999999999999999999999999999999999999999999999999999999999999"
    "9999"};

#define ABSURD_VALUES ((int)(sizeof absurd_values / sizeof *absurd_values))

/* The word before the colon. */
static inline void absurd_key(const char *text, const char *colon, char key[64])
{
    const char *end = colon, *begin;

    while (end > text && !isalnum((unsigned char)end[-1]))
        end--;
    for (begin = end; begin > text &&
                      (isalnum((unsigned char)begin[-1]) || begin[-1] == '_');)
        begin--;
    size_t bytes = (size_t)(end - begin);
    memcpy(key, begin, bytes < 63 ? bytes : 63);
    key[bytes < 63 ? bytes : 63] = '\0';
}

/* Call `check` with each. Returns how many figures there are. */
static inline int absurd_each(const char *text,
                              void (*check)(const struct absurd *))
{
    char *room = malloc(strlen(text) + 512);
    int figures = 0, line = 1;

    if (!room)
        exit(1);
    for (const char *at = text; *at; at++) {
        line += *at == '\n';
        const char *from = at + 1 + (*at == ':' ? strspn(at + 1, " [\n") : 0);
        size_t bytes = strspn(from, "0123456789.e+-");
        if (*at != ':' || !isdigit((unsigned char)*from) ||
            isalnum((unsigned char)from[bytes]))
            continue;
        struct absurd a = {.line = line, .text = room};
        for (const char *c = at; c < from; c++)
            a.line += *c == '\n';
        absurd_key(text, at, a.key);
        figures++;
        for (int i = 0; i < ABSURD_VALUES; i++) {
            a.value = absurd_values[i];
            memcpy(room, text, (size_t)(from - text));
            strcpy(room + (from - text), a.value);
            strcat(room, from + bytes);
            check(&a);
        }
    }
    free(room);
    return figures;
}

#endif
