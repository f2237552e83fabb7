/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the job that a checkpoint was written under, and how those of
 * another one differ. */
#include "ckpt/settings.h"
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "job."

/* As long as "; and 1234 more" and what a value is cut to. */
enum { MORE_ROOM = 32, MOST_SHOWN = 200 };

static void key_of(const char *name, char key[80])
{
    snprintf(key, 80, PREFIX "%s", name);
}

bool dawni_setting_string(const struct dawn_job *job, int number,
                          struct dawn_checkpoint_string *string)
{
    struct dawn_job_setting setting;
    char key[80];

    dawn_job_setting(job, number, &setting);
    key_of(setting.name, key);
    string->key = strdup(key);
    string->value = dawni_utf8_escape(setting.value);
    return string->key && string->value;
}

static bool is_same(const char *then, const char *now)
{
    if (strcmp(then, now) == 0)
        return true;
    if (dawni_utf8_valid(now))
        return false;
    char *escaped = dawni_utf8_escape(now);
    bool same = escaped && strcmp(then, escaped) == 0;
    free(escaped);
    return same;
}

bool dawn_checkpoint_next_change(const struct dawn_checkpoint *ck,
                                 const struct dawn_job *job, int *number,
                                 struct dawn_checkpoint_change *change)
{
    while (*number < dawn_job_settings()) {
        char key[80];
        dawn_job_setting(job, (*number)++, &change->now);
        key_of(change->now.name, key);
        change->then = dawn_checkpoint_string(ck, key);
        if (change->then && !is_same(change->then, change->now.value))
            return true;
    }
    return false;
}

void dawn_checkpoint_change_text(const struct dawn_checkpoint_change *change,
                                 char *text, size_t room)
{
    char name[2 * sizeof change->now.name];
    size_t n = 0;

    for (const char *c = change->now.name; *c; c++) {
        name[n++] = *c == '.' ? ':' : *c;
        if (*c == '.')
            name[n++] = ' ';
    }
    name[n] = '\0';
    snprintf(text, room, "%s: %.*s then, %.*s now", name, MOST_SHOWN,
             *change->then ? change->then : "''", MOST_SHOWN,
             *change->now.value ? change->now.value : "''");
}

int dawn_checkpoint_changes(const struct dawn_checkpoint *ck,
                            const struct dawn_job *job, const char *prefix,
                            char *text, size_t room)
{
    struct dawn_checkpoint_change change;
    char one[3 * MOST_SHOWN];
    int number = 0, changes = 0, told = 0;
    size_t n = 0;

    *text = '\0';
    while (dawn_checkpoint_next_change(ck, job, &number, &change)) {
        if (strncmp(change.now.name, prefix, strlen(prefix)) != 0)
            continue;
        dawn_checkpoint_change_text(&change, one, sizeof one);
        if (told == changes++ && n + strlen(one) + MORE_ROOM < room) {
            n += (size_t)snprintf(text + n, room - n, "%s%s", n ? "; " : "",
                                  one);
            told++;
        }
    }
    if (told < changes)
        snprintf(text + n, room - n, "%s%d %s", n ? "; and " : "",
                 changes - told, n ? "more" : "settings");
    return changes;
}
