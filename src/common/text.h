/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows, for files that we write. The same values give the same bytes
 * on every machine and in every locale. A failure is sticky: check once, at the
 * end.
 */
#ifndef DAWNI_COMMON_TEXT_H
#define DAWNI_COMMON_TEXT_H

#include <dawnpiper/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DAWNI_DOUBLE_ROOM 32

struct dawni_text { /* {0}: empty */
    char *data;     /* ends in a zero byte; NULL while empty */
    size_t bytes, room;
    struct dawn_error error;
};

void dawni_text_clear(struct dawni_text *text);

void dawni_text_add(struct dawni_text *text, const char *s);
/* Integers and strings only: printf's %f and %g follow the locale. */
void dawni_text_addf(struct dawni_text *text, const char *format, ...)
    DAWN_PRINTF(2, 3);
/* The shortest of 15 to 17 digits that reads back as the same number; one that
 * is not finite fails. */
void dawni_text_add_double(struct dawni_text *text, double x);
/* A YAML scalar that reads back as `s`, quoted where it must be, in one line.
 * Fails on what is not UTF-8. */
void dawni_text_add_scalar(struct dawni_text *text, const char *s);
/* A YAML block scalar under a key of indentation 0, the key included; quoted
 * instead where a block cannot hold it. */
void dawni_text_add_block(struct dawni_text *text, const char *key,
                          const char *s);

/* Write as a file, as dawni_file_write does; or the sticky failure. */
enum dawn_status dawni_text_save(const struct dawni_text *text,
                                 const char *path, struct dawn_error *err);

/* What dawni_text_add_double adds; "inf", "-inf" and "nan" too. Returns out. */
char *dawni_double_text(double x, char out[DAWNI_DOUBLE_ROOM]);

/* strtod, whatever the locale, of decimal numbers only: where none begins (also
 * at "inf", "nan" and hexadecimal), *end_p is s. */
double dawni_double_parse(const char *s, char **end_p);

bool dawni_utf8_valid(const char *s);
/* What is no UTF-8 in `s` as \xNN; malloc'ed. NULL: no memory. */
char *dawni_utf8_escape(const char *s);

#endif
