/* SPDX-License-Identifier: Apache-2.0 */
/* How long dawn-plan takes and how much memory: user time and resident size of
 * whole runs, reading the profile and writing the plan included.
 *
 *     planner_speed [PATH OF dawn-plan] [CASE]
 *
 * Each case is planned without a cap, and then under a part of what that takes.
 */
#include "profiles.h"
#include <dawnpiper/plan.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    const char *name;
    int nodes; /* of a chain; 0: GPT-2 124M */
    int stages, microbatches;
    int percent; /* cap, of what a plan without one takes */
} cases[] = {
    {"gpt2", 0, 4, 16, 70},
    {"chain-921", 921, 8, 32, 70},
    {"chain-1000", 1000, 8, 32, 70},
    {"chain-10000", 10000, 64, 256, 70},
};

static struct {
    const char *program;
    char profile[280], plan[280];
} files;

static enum dawn_status write_profile(int nodes, struct dawn_error *err)
{
    static const struct dawn_model_opts gpt2 = {.preset = "gpt2-124m",
                                                .layers = 12,
                                                .hidden = 768,
                                                .heads = 12,
                                                .context = 1024,
                                                .vocab = 50257,
                                                .fused_attention = true,
                                                .dtype = DAWN_BF16};
    struct dawn_profile *profile = NULL;
    enum dawn_status st = nodes ? bench_chain_profile(nodes, &profile, err)
                                : bench_model_profile(&gpt2, &profile, err);

    if (!st)
        st = dawn_profile_save(profile, files.profile, err);
    dawn_profile_destroy(profile);
    return st;
}

/* The largest arena of the plan that was written. */
static enum dawn_status read_arena(uint64_t *arena_p, struct dawn_error *err)
{
    struct dawn_profile *profile = NULL;
    struct dawn_plan *plan = NULL;
    enum dawn_status st = dawn_profile_load(files.profile, &profile, err);

    if (!st)
        st =
            dawn_plan_load(files.plan, dawn_profile_graph(profile), &plan, err);
    *arena_p = 0;
    for (int x = 0; !st && x < dawn_plan_info(plan)->stages; x++) {
        uint64_t arena = dawn_plan_stage(plan, x)->predicted.arena_bytes;
        *arena_p = arena > *arena_p ? arena : *arena_p;
    }
    dawn_plan_destroy(plan);
    dawn_profile_destroy(profile);
    return st;
}

/* Run dawn-plan; 0: it worked. */
static int plan(int stages, int microbatches, uint64_t cap,
                struct rusage *usage)
{
    char number[3][32];
    const char *argv[16] = {files.program,    files.profile, "--stages",
                            number[0],        "--output",    files.plan,
                            "--microbatches", number[1]};
    pid_t pid;
    int status;

    snprintf(number[0], sizeof number[0], "%d", stages);
    snprintf(number[1], sizeof number[1], "%d", microbatches);
    snprintf(number[2], sizeof number[2], "%" PRIu64, cap);
    if (cap) {
        argv[8] = "--memory";
        argv[9] = number[2];
    }
    pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(126);
        execv(files.program, (char *const *)argv);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, usage) < 0)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void print_row(const char *name, uint64_t cap, const struct rusage *u)
{
    printf("%-12s %12" PRIu64 " %9.3f %9.3f %9.1f\n", name, cap,
           (double)u->ru_utime.tv_sec + (double)u->ru_utime.tv_usec * 1e-6,
           (double)u->ru_stime.tv_sec + (double)u->ru_stime.tv_usec * 1e-6,
           (double)u->ru_maxrss / 1024);
    fflush(stdout);
}

static enum dawn_status run_case(size_t i, struct dawn_error *err)
{
    uint64_t arena = 0, cap = 0;
    enum dawn_status st = write_profile(cases[i].nodes, err);

    for (int capped = 0; !st && capped < 2; capped++) {
        struct rusage usage;
        cap = arena / 100 * (uint64_t)cases[i].percent;
        int rc = plan(cases[i].stages, cases[i].microbatches, cap, &usage);
        if (rc)
            return dawn_fail(err, DAWN_E_IO, "%s: exit code %d", files.program,
                             rc);
        print_row(cases[i].name, cap, &usage);
        st = read_arena(&arena, err);
    }
    if (!st && arena > cap)
        st = dawn_fail(err, DAWN_E_NOFIT, "%s: a plan over its cap",
                       cases[i].name);
    return st;
}

int main(int argc, char **argv)
{
    const char *dir = getenv("TMPDIR");
    enum dawn_status st = DAWN_OK;
    struct dawn_error err = {0};
    char folder[256];

    files.program = argc > 1 ? argv[1] : "./dawn-plan";
    snprintf(folder, sizeof folder, "%s/planner-speed-XXXXXX",
             dir ? dir : "/tmp");
    if (!mkdtemp(folder)) {
        fprintf(stderr, "planner_speed: cannot make %s\n", folder);
        return 1;
    }
    snprintf(files.profile, sizeof files.profile, "%s/profile.yaml", folder);
    snprintf(files.plan, sizeof files.plan, "%s/plan.yaml", folder);
    printf("%-12s %12s %9s %9s %9s\n", "case", "cap", "user s", "system s",
           "MiB");
    for (size_t i = 0; !st && i < sizeof cases / sizeof *cases; i++)
        if (argc < 3 || strcmp(argv[2], cases[i].name) == 0)
            st = run_case(i, &err);
    if (st)
        fprintf(stderr, "planner_speed: %s\n", err.text);
    unlink(files.profile);
    unlink(files.plan);
    rmdir(folder);
    return st != DAWN_OK;
}
