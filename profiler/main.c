/* SPDX-License-Identifier: Apache-2.0 */
/* dawn-profile: measure what the nodes of a job's model cost, or the machine.
 */
#include "args.h"
#include "cli.h"
#include "feed.h"
#include "table.h"
#include "told.h"
#include <dawnpiper/job.h>
#include <dawnpiper/measure.h>
#include <dawnpiper/op.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SIZES 32
#define MOST_NODE_SPREAD 0.15 /* of the time of all nodes */

struct options {
    struct cli cli;
    const char *job, *output, *device, *dir;
    bool machine;
    int sizes; /* 0: the job's, and powers of two below */
    int64_t size[MOST_SIZES];
    int64_t repeats;
};

enum { KEY_MACHINE = 2000, KEY_MICROBATCH, KEY_DEVICE, KEY_REPEATS, KEY_DIR };

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0, "write FILE (profile.yaml, machine.yaml)", 0},
    {"microbatch", KEY_MICROBATCH, "LIST", 0,
     "microbatch sizes, ascending (the job's, and powers of two below)", 0},
    {"device", KEY_DEVICE, "KIND", 0, "measure on KIND (the job's: host)", 0},
    {"repeats", KEY_REPEATS, "N", 0,
     "time each call in N rounds (until the medians are steady)", 0},
    {"machine", KEY_MACHINE, NULL, 0,
     "measure the machine: memory, links between the ranks, the disk", 0},
    {"dir", KEY_DIR, "DIR", 0, "with --machine: measure the disk behind DIR",
     0},
    {0},
};

/* "1,2,4" */
static void parse_sizes(struct options *o, const char *list)
{
    char text[256];
    char *rest = text, *item;

    snprintf(text, sizeof text, "%s", list);
    o->sizes = 0;
    while ((item = strsep(&rest, ","))) {
        int64_t least = o->sizes ? o->size[o->sizes - 1] + 1 : 1;
        if (o->sizes == MOST_SIZES ||
            !cli_int(item, least, INT32_MAX, &o->size[o->sizes])) {
            cli_usage(&o->cli,
                      "--microbatch %s: at most %d ascending whole numbers "
                      "from 1 to %d, such as 1,2,4",
                      list, MOST_SIZES, INT32_MAX);
            return;
        }
        o->sizes++;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case 'o':
        o->output = arg;
        return 0;
    case KEY_MICROBATCH:
        parse_sizes(o, arg);
        return 0;
    case KEY_DEVICE:
        o->device = arg;
        return 0;
    case KEY_REPEATS:
        if (!cli_int(arg, 1, 100000, &o->repeats))
            cli_usage(&o->cli, "--repeats %s: not a number from 1 to 100000",
                      arg);
        return 0;
    case KEY_MACHINE:
        o->machine = true;
        return 0;
    case KEY_DIR:
        o->dir = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (o->job)
            cli_usage(&o->cli, "one job only, not %s too", arg);
        o->job = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->job && !o->machine)
            cli_usage(&o->cli, "no JOB given");
        if (o->job && o->machine)
            cli_usage(&o->cli, "--machine takes no job (%s)", o->job);
        if (o->dir && !o->machine)
            cli_usage(&o->cli, "--dir goes with --machine");
        if (!o->output)
            o->output = o->machine ? "machine.yaml" : "profile.yaml";
        if (args_overwrites(o->output, o->job))
            cli_usage(&o->cli, "--output would overwrite %s, which is read",
                      o->job);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    options,
    parse,
    "JOB\n--machine",
    "Measure what the nodes of a job's model cost, or the machine.\v"
    "Run it by mpirun with as many ranks as will train: they share the nodes "
    "out and measure at the same time, so that the numbers are those of a run. "
    "Exit status: 0 fine, 1 failed, 2 wrong usage.",
    NULL,
    NULL,
    NULL};

/* Powers of two below the job's size, and that. */
static void default_sizes(struct options *o, int64_t microbatch)
{
    for (int64_t b = 1; b < microbatch && o->sizes < MOST_SIZES - 1; b *= 2)
        o->size[o->sizes++] = b;
    o->size[o->sizes++] = microbatch;
}

/* Of a size that was asked for: the job's, or one of the list. */
static void warn_norm(const struct options *o, const struct dawn_job *job,
                      const struct dawn_graph *graph)
{
    int64_t least = o->sizes ? o->size[0] : job->train.microbatch;
    int node = dawn_op_lone_norm(graph, least, dawn_job_passes(job));

    if (node >= 0 && cli_first(&o->cli))
        fprintf(stderr,
                "dawn-profile: warning: a microbatch of %lld gives %s one "
                "value a channel to normalize: it serves evaluations and "
                "Fisher information, dawn-train does not train with it\n",
                (long long)least, dawn_graph_node(graph, node)->name);
}

/* What the library hands back to our callbacks. */
struct asked {
    struct feed *feed;
    bool terminal;
};

static int fill(void *user, const struct dawn_feed *what, void *data)
{
    const struct asked *a = user;

    return feed_fill(a->feed, what, data);
}

/* One line, overwritten, on a terminal; else a line each. */
static void show_progress(void *user, int done, int all)
{
    const struct asked *a = user;

    printf("%smeasured %d of %d%s", a->terminal ? "\r\033[K" : "", done, all,
           a->terminal ? "" : "\n");
    fflush(stdout);
}

static enum dawn_status load(const struct dawn_job *job,
                             struct dawn_graph **graph_p, struct feed **feed_p,
                             struct dawn_error *err)
{
    enum dawn_status st = dawn_model_build(&job->model, graph_p, err);

    return st ? st : feed_open(job, feed_p, err);
}

/* Read the job; the same one on all ranks. */
static int load_job(const struct options *o, struct dawn_job *job)
{
    struct told told = {0};
    struct dawn_error err = {0};
    int code = cli_agree(&o->cli, dawn_job_load(o->job, job, &err), &err);

    if (code)
        return code;
    if (dawn_comm_size(o->cli.comm) > 1)
        told_job(&told, job);
    return cli_report(&o->cli, told_compare(&told, &o->cli, &err), &err);
}

/* Did calls of one node take very different times? `spread_ns` is half the
 * distance between the quartiles of a phase's times. */
static void warn_nodes(const struct dawn_profile *profile)
{
    const struct dawn_graph *graph = dawn_profile_graph(profile);
    int size = dawn_profile_sizes(profile) - 1, worst = 0;
    double ns = 0, spread = 0, most = 0;

    for (int i = 0; i < dawn_graph_nodes(graph); i++) {
        const struct dawn_node_cost *c = dawn_profile_cost_of(profile, i, size);
        double own = c->spread_ns[0] + c->spread_ns[1] + c->spread_ns[2];
        ns += c->ns[0] + c->ns[1] + c->ns[2];
        spread += own;
        if (own > most) {
            most = own;
            worst = i;
        }
    }
    if (spread > MOST_NODE_SPREAD * ns)
        fprintf(stderr,
                "dawn-profile: warning: times of nodes vary by %.0f%%, most of "
                "all those of '%s': measure again when fewer processes run\n",
                100 * spread / ns, dawn_graph_node(graph, worst)->name);
}

static int write_profile(const struct options *o,
                         const struct dawn_profile *profile)
{
    struct dawn_error err = {0};
    enum dawn_status st = DAWN_OK;

    if (cli_first(&o->cli))
        st = dawn_profile_save(profile, o->output, &err);
    int code = cli_agree(&o->cli, st, &err);
    if (!code && cli_first(&o->cli)) {
        printf("%s%s, %s\n", cli_terminal() ? "\r\033[K" : "",
               dawn_graph_name(dawn_profile_graph(profile)),
               dawn_profile_description(profile));
        table_print(profile, stdout);
        warn_nodes(profile);
        printf("written to %s\n", o->output);
    }
    return code;
}

static int profile_job(struct options *o)
{
    struct dawn_job job;
    struct dawn_graph *graph = NULL;
    struct dawn_profile *profile = NULL;
    struct asked asked = {.terminal = cli_terminal()};
    struct dawn_error err = {0};
    int code = load_job(o, &job);

    if (!code)
        code = cli_agree(&o->cli, load(&job, &graph, &asked.feed, &err), &err);
    if (code)
        goto done;
    warn_norm(o, &job, graph);
    if (!o->sizes)
        default_sizes(o, job.train.microbatch);
    struct dawn_measure_opts opts = {
        .comm = o->cli.comm,
        .device = o->device ? o->device : job.device.kind,
        .threads = job.device.threads,
        .sizes = o->sizes,
        .size = o->size,
        .repeats = (int)o->repeats,
        .feed = fill,
        .progress = cli_first(&o->cli) ? show_progress : NULL,
        .user = &asked};
    code = cli_agree(&o->cli,
                     dawn_profile_measure(graph, &opts, &profile, &err), &err);
    if (profile)
        graph = NULL; /* the profile's now */
    if (!code)
        code = cli_agree(
            &o->cli,
            dawn_profile_set_passes(profile, dawn_job_passes(&job), &err),
            &err);
    if (!code)
        code = write_profile(o, profile);
done:
    feed_close(asked.feed);
    dawn_profile_destroy(profile);
    dawn_graph_destroy(graph);
    return code;
}

#define MOST_NS 100000 /* that a small message within a host takes */

/* "vm:0" and "vm:1" */
static bool same_host(const struct dawn_machine *machine, int a, int b)
{
    const char *x = dawn_machine_device(machine, a)->name;
    const char *y = dawn_machine_device(machine, b)->name;
    size_t n = strcspn(x, ":");

    return strcspn(y, ":") == n && strncmp(x, y, n) == 0;
}

/* Were there others who used the processor, the memory or the disk? */
static void warn_unsteady(const struct dawn_machine *machine)
{
    char text[400];
    int slow = 0;

    for (int i = 1; i < dawn_machine_devices(machine); i++)
        slow += same_host(machine, i - 1, i) &&
                dawn_machine_link(machine, i - 1, i)->latency_ns >= MOST_NS;
    if (*dawn_machine_unsteady(machine, text, sizeof text))
        fprintf(stderr,
                "dawn-profile: warning: measured times of %s differ that much "
                "(upper by lower quartile): measure again when fewer processes "
                "run\n",
                text);
    else if (slow)
        fprintf(stderr,
                "dawn-profile: warning: ranks waited for a processor while "
                "links were measured: measure again when fewer processes "
                "run\n");
}

static void print_machine(const struct dawn_machine *machine)
{
    int devices = dawn_machine_devices(machine);
    char memory[32];

    for (int i = 0; i < devices; i++) {
        const struct dawn_machine_device *d = dawn_machine_device(machine, i);
        printf("%-10s %-5s %3d cores %14s\n", d->name, d->kind, d->cores,
               cli_mib(d->memory_bytes, memory));
    }
    for (int i = 1; i < devices; i++) {
        const struct dawn_machine_link *l =
            dawn_machine_link(machine, i - 1, i);
        printf("link %d-%d   %.2f GB/s (spread %.2f), %.1f us\n", i - 1, i,
               l->bytes_per_s / 1e9, l->spread, l->latency_ns / 1e3);
    }
    for (int i = 0; i < dawn_machine_tiers(machine); i++) {
        const struct dawn_machine_tier *t = dawn_machine_tier(machine, i);
        printf("%-10s read %.2f GB/s, write %.2f GB/s (spread %.2f), %.2f ns "
               "of computing a byte: %s\n",
               t->kind, t->read_bytes_per_s / 1e9, t->write_bytes_per_s / 1e9,
               t->spread, t->compute_ns_per_byte, t->path);
    }
}

static int profile_machine(const struct options *o)
{
    struct dawn_machine *machine = NULL;
    struct dawn_error err = {0};
    enum dawn_status st =
        dawn_machine_measure(o->cli.comm, o->dir, &machine, NULL, &err);
    int code = cli_agree(&o->cli, st, &err);

    if (!code) {
        if (cli_first(&o->cli))
            st = dawn_machine_save(machine, o->output, &err);
        code = cli_agree(&o->cli, st, &err);
    }
    if (!code && cli_first(&o->cli)) {
        print_machine(machine);
        warn_unsteady(machine);
        printf("written to %s\n", o->output);
    }
    dawn_machine_destroy(machine);
    return code;
}

int main(int argc, char **argv)
{
    struct options o = {.cli = {.program = "dawn-profile"}};

    cli_parse(&o.cli, &argp, argc, argv, &o);
    struct dawn_error err = {0};
    int code = cli_join(&o.cli, 300);

    if (!code)
        code = cli_agree(&o.cli, cli_writable(&o.cli, o.output, &err), &err);
    if (!code)
        code = o.machine ? profile_machine(&o) : profile_job(&o);
    dawn_comm_destroy(o.cli.comm);
    return code;
}
