/* SPDX-License-Identifier: Apache-2.0 */
/* Where the plan goes: a file, stdout, or not over one that a person made. */
#include "report.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The bytes that dawn_plan_save writes, in a file without a name; the caller
 * closes it. Plans are written whole or not at all, so this goes by way of a
 * file that has one for a moment. */
static enum dawn_status save_unnamed(const struct dawn_plan *plan,
                                     FILE **file_p, struct dawn_error *err)
{
    const char *dir = getenv("TMPDIR");
    char folder[256], path[300];
    FILE *file = NULL;
    enum dawn_status st;

    snprintf(folder, sizeof folder, "%s/dawn-plan-XXXXXX", dir ? dir : "/tmp");
    if (!mkdtemp(folder))
        return dawn_fail(err, DAWN_E_IO, "%s: cannot make it", folder);
    snprintf(path, sizeof path, "%s/plan.yaml", folder);
    st = dawn_plan_save(plan, path, err);
    if (!st && !(file = fopen(path, "r")))
        st = dawn_fail(err, DAWN_E_IO, "%s: cannot read it back", path);
    unlink(path);
    rmdir(folder);
    if (!st)
        *file_p = file;
    return st;
}

enum dawn_status write_stdout(const struct dawn_plan *plan,
                              struct dawn_error *err)
{
    char buf[4096];
    FILE *file;
    size_t n;
    enum dawn_status st = save_unnamed(plan, &file, err);

    if (st)
        return st;
    while ((n = fread(buf, 1, sizeof buf, file)) > 0)
        fwrite(buf, 1, n, stdout);
    fclose(file);
    if (fflush(stdout) || ferror(stdout))
        return dawn_fail(err, DAWN_E_IO, "stdout: cannot write");
    return DAWN_OK;
}

static bool same_bytes(FILE *a, FILE *b)
{
    int byte;

    do
        if ((byte = getc(a)) != getc(b))
            return false;
    while (byte != EOF);
    return true;
}

/* Does the file hold what dawn_plan_save writes, not a comment more? */
static enum dawn_status is_saved(const char *path, const struct dawn_plan *plan,
                                 bool *is_p, struct dawn_error *err)
{
    FILE *saved, *file = fopen(path, "r");
    enum dawn_status st;

    if (!file)
        return dawn_fail(err, DAWN_E_IO, "%s: cannot read it", path);
    st = save_unnamed(plan, &saved, err);
    if (!st) {
        *is_p = same_bytes(saved, file);
        fclose(saved);
    }
    fclose(file);
    return st;
}

/* What is to be lost with the file; NULL: what dawn-plan wrote and nobody
 * changed, which is soon made again. */
static enum dawn_status find_loss(const struct program *p, const char *path,
                                  const char **loss_p, struct dawn_error *err)
{
    const struct dawn_plan_info *info;
    struct dawn_plan *plan = NULL;
    struct dawn_error why;
    bool saved = false;
    enum dawn_status st = DAWN_OK;

    *loss_p = "is no plan for this profile's model";
    if (dawn_plan_load(path, dawn_profile_graph(p->profile), &plan, &why))
        return DAWN_OK;
    info = dawn_plan_info(plan);
    if (info->priced_digest && !dawn_plan_edited(plan) &&
        strcmp(info->policy, "hand") != 0)
        st = is_saved(path, plan, &saved, err);
    *loss_p = saved ? NULL : "was written or edited by hand";
    dawn_plan_destroy(plan);
    return st;
}

static bool said_yes(const char *path, const char *loss)
{
    char line[64];

    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return false;
    fprintf(stderr, "dawn-plan: %s %s; write over it? [y/N] ", path, loss);
    return fgets(line, sizeof line, stdin) &&
           (strcmp(line, "y\n") == 0 || strcmp(line, "yes\n") == 0);
}

enum dawn_status write_allowed(const struct program *p, struct dawn_error *err)
{
    const char *path = options_output(&p->options), *loss;
    enum dawn_status st;

    if (!path || p->options.output || access(path, F_OK) != 0)
        return DAWN_OK;
    st = find_loss(p, path, &loss, err);
    if (!st && loss && !said_yes(path, loss))
        st = dawn_fail(err, DAWN_E_INVAL,
                       "%s %s; -o %s writes over it, --explain and --json "
                       "only show the plan",
                       path, loss, path);
    return st;
}
