/* SPDX-License-Identifier: Apache-2.0 */
/* What ranks compare beside their options; see told.h. */
#include "told.h"
#include <dawnpiper/checkpoint.h>
#include <dawnpiper/data.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_SHOWN 100 /* bytes of a path that are shown: its end */
#define UNREAD "unread"

static char *copy(struct told *told, const char *text)
{
    char *own = text ? strdup(text) : NULL;

    if (text && !own)
        told->no_memory = true;
    return own;
}

static void add(struct told *told, const char *name, const char *value,
                const char *shown)
{
    if (told->facts == told->room) {
        int room = told->room ? 2 * told->room : 64;
        void *more = realloc(told->fact, (size_t)room * sizeof *told->fact);
        if (!more) {
            told->no_memory = true;
            return;
        }
        told->fact = more;
        told->room = room;
    }
    told->fact[told->facts++] = (struct dawn_comm_fact){
        copy(told, name), copy(told, value), copy(told, shown)};
}

static const char *end_of(const char *path)
{
    size_t length = strlen(path);

    return length > MOST_SHOWN ? path + length - MOST_SHOWN : path;
}

/* Add what was read of a path; `bytes` 0: of a folder. */
static void add_read(struct told *told, const char *name, const char *path,
                     uint64_t bytes, uint64_t digest)
{
    char value[64], shown[MOST_SHOWN + 80];

    if (bytes)
        snprintf(value, sizeof value, "%" PRIu64 " bytes, xxh3:%016" PRIx64,
                 bytes, digest);
    else
        snprintf(value, sizeof value, "xxh3:%016" PRIx64, digest);
    snprintf(shown, sizeof shown, "%s (%s)", end_of(path), value);
    add(told, name, value, shown);
}

static void add_unread(struct told *told, const char *name, const char *path,
                       const char *why)
{
    char shown[MOST_SHOWN + 80];

    snprintf(shown, sizeof shown, "%s (%s)", end_of(path), why);
    add(told, name, UNREAD, shown);
}

void told_file(struct told *told, const char *name, const char *path)
{
    uint64_t bytes = 0, digest = 0;
    enum dawn_status st;
    struct stat s;

    if (!path || !*path) {
        add(told, name, NULL, NULL);
        return;
    }
    if (stat(path, &s) == 0 && S_ISDIR(s.st_mode))
        st = dawn_checkpoint_digest(path, &digest, NULL);
    else
        st = dawn_data_digest(path, &bytes, &digest, NULL);
    if (st)
        add_unread(told, name, path, "cannot be read");
    else
        add_read(told, name, path, bytes, digest);
}

void told_digest(struct told *told, const char *name, const char *path,
                 uint64_t digest)
{
    if (digest)
        add_read(told, name, path, 0, digest);
    else
        add_unread(told, name, path, "cannot be used");
}

void told_job(struct told *told, const struct dawn_job *job)
{
    struct dawn_job_setting setting;

    for (int i = 0; i < dawn_job_settings(); i++) {
        dawn_job_setting(job, i, &setting);
        if (setting.is_path)
            told_file(told, setting.name, setting.value);
        else
            add(told, setting.name, setting.value, NULL);
    }
}

static void clear(struct told *told)
{
    for (int i = 0; i < told->facts; i++) {
        free((char *)(uintptr_t)told->fact[i].name);
        free((char *)(uintptr_t)told->fact[i].value);
        free((char *)(uintptr_t)told->fact[i].shown);
    }
    free(told->fact);
    *told = (struct told){0};
}

enum dawn_status told_compare(struct told *told, const struct cli *cli,
                              struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    if (told->no_memory)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to compare ranks");
    st = dawn_comm_agree(cli->comm, st, err);
    if (!st)
        st = dawn_comm_same(cli->comm, told->fact, told->facts, err);
    clear(told);
    return st;
}
