/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs of jobs that differ in one setting, for every setting that there is:
 * other_jobs FOLDER writes them, and prints a line for each setting: its name
 * and the two files. In FOLDER are train.txt and other.txt. Where no other
 * value is allowed, "refused" stands behind them: the second file is wrong.
 *
 * Which values a setting may have is not known here: some are tried, and those
 * that the reader says it expects.
 */
#include <dawnpiper/job.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_KEYS 16
#define MOST_WORDS 32

struct key {
    const char *name, *value;
};

/* Jobs that have, between them, all keys there are. */
#define TOKENS                                                                 \
    {"model.layers", "2"}, {"model.hidden", "32"}, {"model.heads", "2"},       \
        {"model.context", "32"}, {"model.vocab", "256"},                       \
        {"data.train", "train.txt"},                                           \
    {                                                                          \
        "train.steps", "4"                                                     \
    }
#define EWC                                                                    \
    {"passes.ewc.fisher", "train.txt"}, {"passes.ewc.anchor", "train.txt"},    \
    {                                                                          \
        "passes.ewc.lambda", "1"                                               \
    }
static const struct key bases[][MOST_KEYS] = {
    {{"model.preset", "gpt2"}, {"model.dtype", "f32"}, TOKENS},
    {{"model.preset", "gpt2"}, TOKENS, EWC},
    {{"model.preset", "bert"}, TOKENS},
    {{"model.preset", "t5"}, TOKENS},
    {{"model.preset", "amoebanet-tiny"},
     {"data.train", "train.txt"},
     {"train.steps", "4"}},
};
enum { BASES = sizeof bases / sizeof *bases };

static const char *folder;

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* The keys under `prefix`, behind a line `head`. */
static void put_section(FILE *file, const struct key *key, const char *prefix,
                        const char *head, const char *indent)
{
    for (; key->name; key++) {
        if (!begins(key->name, prefix) ||
            strchr(key->name + strlen(prefix), '.'))
            continue;
        fprintf(file, "%s%s%s: %s\n", head, indent, key->name + strlen(prefix),
                key->value);
        head = "";
    }
}

static char *put_job(const char *name, const struct key *key)
{
    char *path;
    FILE *file;

    if (asprintf(&path, "%s/%s", folder, name) < 0 ||
        !(file = fopen(path, "w"))) {
        perror(folder);
        exit(1);
    }
    fputs("dawn: job/1\n", file);
    put_section(file, key, "model.", "model:\n", "  ");
    put_section(file, key, "data.", "data:\n", "  ");
    put_section(file, key, "train.", "train:\n", "  ");
    put_section(file, key, "device.", "device:\n", "  ");
    put_section(file, key, "passes.ewc.", "passes:\n- ewc:\n", "    ");
    put_section(file, key, "passes.ewc.online.", "    online:\n", "      ");
    put_section(file, key, "", "", "");
    fclose(file);
    return path;
}

/* Write base number `base` with another value of setting `name`. */
static char *put_variant(const char *file, int base, const char *name,
                         const char *value)
{
    struct key key[MOST_KEYS + 2];
    int n = 0;

    for (const struct key *at = bases[base]; at->name; at++)
        if (strcmp(at->name, name) != 0)
            key[n++] = *at;
    key[n++] = (struct key){name, value};
    key[n] = (struct key){NULL, NULL};
    return put_job(file, key);
}

/* Does the file load, and differ from the job in that setting? */
static bool differs(const char *path, const struct dawn_job *job, int number)
{
    struct dawn_job_setting here, there;
    struct dawn_job other;

    if (dawn_job_load(path, &other, NULL))
        return false;
    dawn_job_setting(job, number, &here);
    dawn_job_setting(&other, number, &there);
    return strcmp(here.value, there.value) != 0;
}

/* The words between "expected " and ", found", "one of" left out. */
static int words_expected(char *text, const char **word)
{
    char *at = strstr(text, "expected "), *end = strstr(text, ", found");
    int n = 0;

    if (!at || !end)
        return 0;
    *end = '\0';
    for (char *rest = at + strlen("expected "), *one;
         (one = strsep(&rest, ", ")) && n < MOST_WORDS;)
        if (*one && strcmp(one, "or") != 0)
            word[n++] = one;
    return n;
}

/* Find another value for a setting in some base. Prints the line. */
static bool vary(int number, const struct dawn_job *job, int base)
{
    static const char *const paths[] = {"other.txt", NULL};
    static const char *const values[] = {
        "2",   "1", "3",    "4",     "8",         "16", "64",
        "0.5", "0", "true", "false", "elsewhere", NULL};
    struct dawn_job_setting setting;
    struct dawn_error err = {0};
    struct dawn_job other;
    const char *word[MOST_WORDS + 1] = {NULL};
    char file[32];

    snprintf(file, sizeof file, "%d.yaml", number);
    dawn_job_setting(job, number, &setting);
    char *path = put_variant(file, base, setting.name, "qqq");
    if (dawn_job_load(path, &other, &err))
        word[words_expected(err.text, word)] = NULL;
    free(path);
    for (int list = 0; list < 2; list++) {
        const char *const *value = list              ? word
                                   : setting.is_path ? paths
                                                     : values;
        for (; *value; value++) {
            path = put_variant(file, base, setting.name, *value);
            bool found = differs(path, job, number);
            if (found)
                printf("%s base-%d.yaml %s\n", setting.name, base, file);
            free(path);
            if (found)
                return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    struct dawn_job job[BASES];

    folder = argc == 2 ? argv[1] : ".";
    for (int b = 0; b < BASES; b++) {
        struct dawn_error err = {0};
        char file[32];
        snprintf(file, sizeof file, "base-%d.yaml", b);
        char *path = put_job(file, bases[b]);
        if (dawn_job_load(path, &job[b], &err)) {
            printf("%s\n", err.text);
            return 1;
        }
        free(path);
    }
    for (int i = 0; i < dawn_job_settings(); i++) {
        struct dawn_job_setting setting;
        bool found = false;
        for (int b = 0; b < BASES && !found; b++)
            found = vary(i, &job[b], b);
        if (found)
            continue;
        dawn_job_setting(&job[0], i, &setting);
        char file[32];
        snprintf(file, sizeof file, "%d.yaml", i);
        free(put_variant(file, 0, setting.name, "qqq"));
        printf("%s base-0.yaml %s refused\n", setting.name, file);
    }
    return 0;
}
