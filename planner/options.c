/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"
#include "../profiler/args.h"
#include "../profiler/units.h"
#include <dawnpiper/schedule.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_MICROBATCHES = 1000,
    KEY_MICROBATCH,
    KEY_UPDATE_EVERY,
    KEY_MAX_BATCH,
    KEY_SCHEDULE,
    KEY_POLICY,
    KEY_IMPORT,
    KEY_PROFILE_OUT,
    KEY_EXPORT,
    KEY_SNAP,
    KEY_PASSES,
    KEY_PLACEMENT,
    KEY_DEVICES,
    KEY_REPLICAS,
    KEY_HOSTFILE,
    KEY_COMPARE,
    KEY_CHECK,
    KEY_OBJECTIVE,
    KEY_RECOMPUTE,
    KEY_OFFLOAD,
    KEY_EXPLAIN,
    KEY_JSON
};

static const struct argp_option option[] = {
    {"machine", 'm', "FILE", 0,
     "machine.yaml: memory, links and speed of the "
     "devices; without it they are equal, with links of 5 GB/s",
     0},
    {"import", KEY_IMPORT, "FORMAT", 0,
     "PROFILE is one that others published: pipedream, a graph.txt of "
     "PipeDream or DAPPLE, or piper, JSON of Piper; nothing is written but "
     "with -o",
     0},
    {"profile-out", KEY_PROFILE_OUT, "FILE", 0,
     "write what --import read as profile.yaml", 0},
    {"stages", 's', "N|1..N", 0,
     "pipeline stages, one a rank (default: one for each device of the "
     "machine; 1 without a machine); 1..N: the best count up to N",
     0},
    {"devices", KEY_DEVICES, "N", 0,
     "spend N devices on stages and on replicas of stages, which take turns "
     "with microbatches; dawn-train cannot run such plans yet",
     0},
    {"replicas", KEY_REPLICAS, "auto|R", 0,
     "with --devices: replicas of every stage (default: auto, what is best for "
     "each)",
     0},
    {"memory", 'M', "SIZE", 0,
     "most memory a rank may use, such as 600MiB or 2GB (default: what the "
     "machine says)",
     0},
    {"microbatches", KEY_MICROBATCHES, "M", 0,
     "microbatches in a step (default: 4 for each stage)", 0},
    {"microbatch", KEY_MICROBATCH, "B", 0,
     "samples in a microbatch (default: the largest size profiled); costs of "
     "sizes that were not profiled are worked out from those that were",
     0},
    {"max-batch", KEY_MAX_BATCH, NULL, 0,
     "the largest microbatch that fits, then the best plan for it", 0},
    {"schedule", KEY_SCHEDULE, "K", 0,
     "gpipe, 1f1b (the default), async-1f1b or async-2bw; the last two update "
     "the weights within the step",
     0},
    {"update-every", KEY_UPDATE_EVERY, "G", 0,
     "microbatches between these updates, a number that divides those of the "
     "step (default: 1 for async-1f1b, for async-2bw the least from the number "
     "of stages on)",
     0},
    {"policy", KEY_POLICY, "P", 0,
     "dawnpiper, exact, pipedream, vpipe, adapipe or gpipe-uniform (default: "
     "the better plan of dawnpiper and exact)",
     0},
    {"compare", KEY_COMPARE, NULL, 0,
     "plan with every policy and print a table; with -o the best plan is "
     "written",
     0},
    {"check", KEY_CHECK, "PLAN", 0,
     "make no plan: price PLAN, which a person wrote or edited, and say what "
     "is "
     "wrong with it and what is slower; with -o it is written with what is "
     "predicted now, if nothing is wrong",
     0},
    {"passes", KEY_PASSES, "LIST", 0,
     "count the memory of these passes: none, ewc, ewc-bf16, fisher, or "
     "fisher-of-batch-mean (default: those of the job that was profiled)",
     0},
    {"objective", KEY_OBJECTIVE, "WHAT", 0,
     "what to make least: step, the simulated one, or bottleneck, the time of "
     "the slowest stage as if messages took none (default: step)",
     0},
    {"recompute", KEY_RECOMPUTE, "auto|none", 0,
     "none: keep every saved tensor (default: auto)", 0},
    {"offload", KEY_OFFLOAD, "TIER", 0,
     "where saved tensors may be moved meanwhile: none, host, ssd, or auto, "
     "any tier that the machine has (default: auto)",
     0},
    {"placement", KEY_PLACEMENT, "auto|given", 0,
     "auto: choose which device runs which stage where devices or links "
     "differ; "
     "given: rank r runs on device r (default: auto)",
     0},
    {"hostfile", KEY_HOSTFILE, "FILE", 0,
     "write the hosts of the plan's ranks, for mpirun --map-by seq --hostfile",
     0},
    {"export", KEY_EXPORT, "TRAINER", 0,
     "print the cuts for another trainer: torch, names of modules at which "
     "torch.distributed.pipelining splits, or megatron, Megatron-Core's "
     "pipeline layout; nothing is written but with -o",
     0},
    {"snap", KEY_SNAP, NULL, 0,
     "move cuts to where --export can say them, and price the plan again", 0},
    {"explain", KEY_EXPLAIN, NULL, 0,
     "print what each stage does, takes and recomputes", 0},
    {"json", KEY_JSON, NULL, 0, "print all that is predicted as JSON", 0},
    {"output", 'o', "FILE", 0,
     "plan to write, - is stdout (default: plan.yaml, unless a person made or "
     "edited it; nothing with --explain, --json, --compare, --check, --import "
     "or --export)",
     0},
    {0},
};

static int count(const char *name, const char *text)
{
    char *end;

    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 1 || n > 1000000)
        wrong("--%s=%s: must be a number from 1 to 1000000", name, text);
    return (int)n;
}

static const char *const imports[] = {"pipedream", "piper", NULL};
static const char *const exports[] = {"torch", "megatron", NULL};
static const char *const objectives[] = {"step", "bottleneck", NULL};
static const char *const placements[] = {"auto", "given", NULL};
static const char *const recomputes[] = {"auto", "none", NULL};
static const char *const offloads[] = {"auto", "none", "host", "ssd", NULL};

/* Index of the word. */
static int choice(const char *name, const char *text, const char *const *word)
{
    char all[100] = "";

    for (int i = 0; word[i]; i++) {
        size_t used = strlen(all);
        if (strcmp(word[i], text) == 0)
            return i;
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", word[i]);
    }
    wrong("--%s=%s: one of %s", name, text, all);
}

/* One of the names that list(0), list(1), ... are. */
static const char *known(const char *name, const char *text,
                         const char *(*list)(int))
{
    char all[200] = "";

    for (int i = 0; list(i); i++) {
        size_t used = strlen(all);
        if (strcmp(list(i), text) == 0)
            return text;
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", list(i));
    }
    wrong("--%s=%s: one of %s", name, text, all);
}

const char *options_output(const struct options *o)
{
    bool quiet = o->import || o->export || o->compare || o->check ||
                 o->explain || o->json;

    return o->output ? o->output : quiet ? NULL : "plan.yaml";
}

/* What is written must not take the place of what is read; a plan may take that
 * of the plan it was checked from. */
static void keep_inputs(const struct options *o)
{
    const char *plan = options_output(o);
    const char *read[] = {o->profile, o->machine, o->check};
    const struct {
        const char *option, *path;
        int inputs;
    } written[] = {{"--output", plan && strcmp(plan, "-") ? plan : NULL, 2},
                   {"--profile-out", o->profile_out, 3},
                   {"--hostfile", o->hostfile, 3}};

    for (int w = 0; w < 3; w++)
        for (int r = 0; r < written[w].inputs; r++)
            if (args_overwrites(written[w].path, read[r]))
                wrong("%s would overwrite %s, which is read", written[w].option,
                      read[r]);
}

/* Everything after the whole line has been read. */
static void finish(const struct options *o)
{
    bool to_stdout = o->output && strcmp(o->output, "-") == 0;

    if (!o->profile)
        wrong("which PROFILE?");
    if (o->profile_out && !o->import)
        wrong("--profile-out writes what --import reads");
    if ((o->output && !*o->output) || (o->profile_out && !*o->profile_out))
        wrong("a file to write wants a name");
    if (o->profile_out && strcmp(o->profile_out, "-") == 0)
        wrong("--profile-out wants a file, not stdout");
    if (o->profile_out && o->output && strcmp(o->profile_out, o->output) == 0)
        wrong("--profile-out and --output want a file each");
    if (o->check && (o->compare || o->plan.policy || o->plan.stages ||
                     o->plan.microbatches || o->plan.microbatch ||
                     o->plan.schedule || o->plan.update_every ||
                     o->plan.objective || o->plan.max_batch || o->passes))
        wrong("--check takes all that a plan says from the plan");
    if (o->plan.max_batch && o->plan.microbatch)
        wrong("--max-batch and --microbatch exclude each other");
    if (o->compare && o->plan.policy)
        wrong("--compare and --policy exclude each other");
    if (o->snap && !o->export)
        wrong("--snap moves cuts for --export");
    if (o->export && (o->compare || o->check || o->explain || o->json))
        wrong("--export excludes --compare, --check, --explain and --json");
    if (o->explain && o->json)
        wrong("--explain and --json exclude each other");
    if (o->hostfile && (!o->machine || o->compare))
        wrong("--hostfile wants --machine and one plan");
    if (o->plan.replicas && !o->plan.devices)
        wrong("--replicas goes with --devices");
    if (o->plan.devices && (o->compare || o->check || o->export || o->hostfile))
        wrong("--devices excludes --compare, --check, --export and "
              "--hostfile");
    if (o->most_stages && (o->plan.devices || o->plan.max_batch || o->compare))
        wrong("--stages 1..N compares one policy's steps of one size: it "
              "excludes --devices, --max-batch and --compare");
    if (o->compare && o->explain)
        wrong("--compare and --explain exclude each other");
    if (to_stdout &&
        (o->check || o->explain || o->json || o->compare || o->export))
        wrong("stdout can take only one of the plan and a report");
    keep_inputs(o);
}

/* What is to be planned. */
static error_t parse_plan(int key, const char *arg, struct dawn_planner_opts *o)
{
    switch (key) {
    case 'M':
        if (!size_parse(arg, &o->cap_bytes))
            wrong("--memory=%s: not a size such as 600MiB, 1 byte to 1 EiB "
                  "(2^60)",
                  arg);
        return 0;
    case KEY_MICROBATCHES:
        o->microbatches = count("microbatches", arg);
        return 0;
    case KEY_UPDATE_EVERY:
        o->update_every = count("update-every", arg);
        return 0;
    case KEY_MICROBATCH:
        o->microbatch = count("microbatch", arg);
        return 0;
    case KEY_MAX_BATCH:
        o->max_batch = true;
        return 0;
    case KEY_SCHEDULE:
        o->schedule = known("schedule", arg, dawn_schedule_kind);
        return 0;
    case KEY_POLICY:
        o->policy = known("policy", arg, dawn_planner_policy);
        return 0;
    case KEY_OBJECTIVE:
        o->objective =
            (enum dawn_objective)choice("objective", arg, objectives);
        return 0;
    case KEY_DEVICES:
        o->devices = count("devices", arg);
        return 0;
    case KEY_REPLICAS:
        o->replicas = strcmp(arg, "auto") == 0 ? 0 : count("replicas", arg);
        return 0;
    case KEY_PLACEMENT:
        o->as_given = choice("placement", arg, placements) == 1;
        return 0;
    case KEY_RECOMPUTE:
        o->no_recompute = choice("recompute", arg, recomputes) == 1;
        return 0;
    case KEY_OFFLOAD:
        o->offload = (enum dawn_offload)choice("offload", arg, offloads);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Files and reports. */
static error_t parse_io(int key, const char *arg, struct options *o)
{
    switch (key) {
    case 'm':
        o->machine = arg;
        return 0;
    case KEY_IMPORT:
        o->import = imports[choice("import", arg, imports)];
        return 0;
    case KEY_PROFILE_OUT:
        o->profile_out = arg;
        return 0;
    case KEY_EXPORT:
        o->export = exports[choice("export", arg, exports)];
        return 0;
    case KEY_PASSES:
        o->passes = strcmp(arg, "none") == 0 ? "" : arg;
        return 0;
    case 's':
        o->most_stages =
            strncmp(arg, "1..", 3) == 0 ? count("stages", arg + 3) : 0;
        o->plan.stages = o->most_stages ? o->most_stages : count("stages", arg);
        return 0;
    case KEY_SNAP:
        o->snap = true;
        return 0;
    case KEY_HOSTFILE:
        o->hostfile = arg;
        return 0;
    case KEY_COMPARE:
        o->compare = true;
        return 0;
    case KEY_CHECK:
        o->check = arg;
        return 0;
    case KEY_EXPLAIN:
        o->explain = true;
        return 0;
    case KEY_JSON:
        o->json = true;
        return 0;
    case 'o':
        o->output = arg;
        return 0;
    default:
        return parse_plan(key, arg, &o->plan);
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case ARGP_KEY_ARG:
        if (o->profile)
            wrong("one PROFILE only, not '%s' too", arg);
        o->profile = arg;
        return 0;
    case ARGP_KEY_END:
        finish(o);
        return 0;
    default:
        return parse_io(key, arg, o);
    }
}

void options_parse(struct options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = option,
        .parser = parse,
        .args_doc = "PROFILE",
        .doc = "Plan a pipeline for a profiled model: which stage runs which "
               "nodes, and which tensors are recomputed or offloaded, so that "
               "a step is short and no rank is over its memory.\v"
               "Exit codes: 0 fine, 1 no plan was made, 2 wrong usage.",
    };

    *options = (struct options){0};
    args_parse(&(struct args){.program = "dawn-plan", .input = options}, &argp,
               argc, argv);
}
