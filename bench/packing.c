/* SPDX-License-Identifier: Apache-2.0 */
/* How well arenas are packed: arena / lower bound of every stage of many plans.
 *
 *     packing
 *
 * Models of several shapes, 1 to 8 stages, gpipe and 1f1b, kept and under caps,
 * on costs made up from arithmetic. Exit code 1 when a ratio is above 1.05.
 */
#include "profiles.h"
#include <dawnpiper/memory.h>
#include <dawnpiper/planner.h>
#include <stdio.h>

#define LIMIT 1.05

struct sum {
    int plans, stages;
    double worst, total;
    struct dawn_planner_opts at; /* where the worst is */
    int rank;
};

/* Add a plan's stages to the sum; *peak_p: the largest peak of them. */
static enum dawn_status measure(const struct dawn_profile *profile,
                                const struct dawn_planner_opts *opts,
                                struct sum *sum, uint64_t *peak_p,
                                struct dawn_error *err)
{
    struct dawn_plan *plan = NULL;
    enum dawn_status st = dawn_planner_run(profile, NULL, opts, &plan, err);

    *peak_p = 0;
    for (int rank = 0; !st && rank < opts->stages; rank++) {
        struct dawn_memory m;
        st = dawn_memory_of(plan, profile, rank, &m, err);
        if (st)
            break;
        double ratio = (double)m.arena_bytes / (double)m.peak_bytes;
        sum->stages++;
        sum->total += ratio;
        if (sum->worst < ratio) {
            sum->worst = ratio;
            sum->at = *opts;
            sum->rank = rank;
        }
        if (*peak_p < m.peak_bytes)
            *peak_p = m.peak_bytes;
    }
    sum->plans += !st;
    dawn_plan_destroy(plan);
    return st;
}

/* All stage counts, schedules and caps. */
static enum dawn_status sweep(const struct dawn_profile *profile,
                              struct sum *sum, struct dawn_error *err)
{
    static const int percent[] = {0, 85, 70, 60};
    enum dawn_status st = DAWN_OK;

    for (int k = 0; !st && k < 2 * 8; k++) {
        struct dawn_planner_opts opts = {.schedule = k % 2 ? "1f1b" : "gpipe",
                                         .stages = k / 2 + 1,
                                         .microbatches = 8};
        uint64_t whole = 0, peak;
        for (int c = 0; !st && c < 4; c++) {
            opts.cap_bytes = whole * (uint64_t)percent[c] / 100;
            st = measure(profile, &opts, sum, &peak, err);
            if (!c)
                whole = peak;
            if (st == DAWN_E_NOFIT)
                st = DAWN_OK;
        }
    }
    return st;
}

#define GPT2(preset_, layers_, hidden_, heads_, context_, vocab_)              \
    .preset = preset_, .layers = layers_, .hidden = hidden_, .heads = heads_,  \
    .context = context_, .vocab = vocab_

int main(void)
{
    static const struct dawn_model_opts model[] = {
        {GPT2("gpt2", 6, 256, 8, 256, 256), .fused_attention = true,
         .dtype = DAWN_BF16},
        {GPT2("gpt2", 6, 256, 8, 256, 256), .dropout = 0.1, .dtype = DAWN_BF16},
        {GPT2("gpt2", 4, 64, 4, 64, 256), .dropout = 0.1,
         .fused_attention = true, .dtype = DAWN_F32},
        {GPT2("gpt2", 4, 64, 4, 64, 256), .dtype = DAWN_F32},
        {GPT2("gpt2-124m", 12, 768, 12, 1024, 50257), .fused_attention = true,
         .dtype = DAWN_BF16},
    };
    double worst = 0;

    printf("%-26s %5s %6s %7s %7s  %s\n", "model", "plans", "stages", "mean",
           "worst", "where");
    for (size_t i = 0; i < sizeof model / sizeof *model; i++) {
        const struct dawn_model_opts *m = &model[i];
        struct dawn_profile *profile = NULL;
        struct dawn_error err = {0};
        struct sum sum = {0};
        char name[64];
        enum dawn_status st = bench_model_profile(m, &profile, &err);
        if (!st)
            st = sweep(profile, &sum, &err);
        dawn_profile_destroy(profile);
        if (st) {
            fprintf(stderr, "packing: %s\n", err.text);
            return 1;
        }
        snprintf(name, sizeof name, "%d x %d, %s, %s", m->layers, m->hidden,
                 dawn_dtype_name(m->dtype),
                 m->fused_attention ? "fused" : "unfused");
        printf("%-26s %5d %6d %7.4f %7.4f  stage %d of %d, %s, cap %llu\n",
               name, sum.plans, sum.stages, sum.total / sum.stages, sum.worst,
               sum.rank, sum.at.stages, sum.at.schedule,
               (unsigned long long)sum.at.cap_bytes);
        fflush(stdout);
        if (worst < sum.worst)
            worst = sum.worst;
    }
    printf("worst arena / lower bound: %.4f, at most %.2f wanted\n", worst,
           LIMIT);
    return worst > LIMIT;
}
