/* SPDX-License-Identifier: Apache-2.0 */
/* The picture: for each rank a row of boxes, below it its memory against the
 * cap; all ranks share one time axis.
 */
#include "../profiler/units.h"
#include "simulator.h"

enum {
    LEFT = 90, /* of the plot; labels stand before it */
    WIDTH = 1100,
    RIGHT = 110,
    TOP = 56,
    BOXES = 26, /* height of a row of boxes */
    CURVE = 54, /* and of a memory curve */
    GAP = 22,   /* between ranks */
    ROW = BOXES + 6 + CURVE + GAP,
    LABEL = 11, /* font size */
    MOST_TICKS = 10
};
#define FAR_CAP 1.5 /* a cap above so many times the largest peak is no line   \
                     */

static const struct {
    enum dawn_action_kind kind;
    const char *name, *colour;
} kind[] = {
    {DAWN_ACTION_F, "forward", "#4c78a8"},
    {DAWN_ACTION_BW, "backward", "#59a14f"},
    {DAWN_ACTION_B, "backward, inputs", "#59a14f"},
    {DAWN_ACTION_W, "backward, weights", "#b6992d"},
    {DAWN_ACTION_STEP, "optimizer", "#b07aa1"},
    {DAWN_ACTION_UPDATE, "update", "#9467bd"},
    {DAWN_ACTION_REDUCE, "all-reduce", "#76b7b2"},
    {DAWN_ACTION_OFFLOAD, "offload", "#e15759"},
    {DAWN_ACTION_PREFETCH, "prefetch", "#f28e2b"},
};

#define KINDS ((int)(sizeof kind / sizeof kind[0]))

/* A REDUCE of plans without replicas only waits. */
static bool drawn(const struct simulation *s, enum dawn_action_kind k)
{
    return k != DAWN_ACTION_REDUCE || s->result.live_bytes;
}

static const char *colour_of(enum dawn_action_kind k)
{
    for (int i = 0; i < KINDS; i++)
        if (kind[i].kind == k)
            return kind[i].colour;
    return NULL;
}

static double x_of(const struct simulation *s, double ns)
{
    double step = s->result.step_ns > 0 ? s->result.step_ns : 1;

    return LEFT + WIDTH * ns / step;
}

static void print_box(const struct simulation *s,
                      const struct dawn_sim_event *e, int y, FILE *out)
{
    const char *colour = colour_of(e->action.kind);
    double x = x_of(s, e->start_ns), width = x_of(s, e->end_ns) - x;
    char text[64];

    if (!colour || width <= 0 || !drawn(s, e->action.kind))
        return;
    fprintf(out,
            "<rect x='%.2f' y='%d' width='%.2f' height='%d' fill='%s' "
            "stroke='#fff' stroke-width='0.5'><title>%s, %s</title></rect>\n",
            x, y, width, BOXES, colour, event_text(e, text, sizeof text),
            TIME(e->end_ns - e->start_ns));
    if (width > 15 && e->action.microbatch >= 0)
        fprintf(out,
                "<text x='%.2f' y='%d' text-anchor='middle' fill='#fff'>%d"
                "</text>\n",
                x + width / 2, y + BOXES / 2 + 4, e->action.microbatch);
}

/* Below the boxes: what is written, and what is read back. */
static void print_moves(const struct simulation *s, int rank, int y, FILE *out)
{
    for (int i = 0; i < s->result.moves; i++) {
        const struct dawn_sim_event *e = &s->result.move[i];
        double x = x_of(s, e->start_ns), width = x_of(s, e->end_ns) - x;
        bool read = e->action.kind == DAWN_ACTION_PREFETCH;
        char text[64];

        if (e->rank == rank)
            fprintf(out,
                    "<rect x='%.2f' y='%d' width='%.2f' height='2' "
                    "fill='%s'><title>%s, %s</title></rect>\n",
                    x, y + (read ? 3 : 1), width, colour_of(e->action.kind),
                    event_text(e, text, sizeof text),
                    TIME(e->end_ns - e->start_ns));
    }
}

/* Is the cap near enough to the peaks to be drawn on their scale? */
static bool is_near(uint64_t cap, uint64_t largest_peak)
{
    return cap && (double)cap <= FAR_CAP * (double)largest_peak;
}

static uint64_t largest_peak(const struct simulation *s)
{
    uint64_t largest = 1;

    for (int rank = 0; rank < s->result.ranks; rank++)
        if (simulation_peak(s, rank) > largest)
            largest = simulation_peak(s, rank);
    return largest;
}

/* The largest of the peaks and of the caps that are drawn: all curves have one
 * scale. */
static double top_bytes(const struct simulation *s)
{
    uint64_t peak = largest_peak(s), top = peak;

    for (int rank = 0; rank < s->result.ranks; rank++)
        if (is_near(simulation_cap(s, rank), peak) &&
            simulation_cap(s, rank) > top)
            top = simulation_cap(s, rank);
    return (double)top;
}

/* A line across the plot at `y`, and its name beside it at `label_y`. */
static void print_level(double y, double label_y, const char *colour,
                        const char *text, FILE *out)
{
    fprintf(out,
            "<line x1='%d' y1='%.2f' x2='%d' y2='%.2f' stroke='%s'/>\n"
            "<text x='%d' y='%.2f' fill='%s'>%s</text>\n",
            LEFT, y, LEFT + WIDTH, y, colour, LEFT + WIDTH + 4, label_y, colour,
            text);
}

/* Each action's most, from its start to the next one's. */
static void print_curve(const struct simulation *s, int rank, int y, FILE *out)
{
    double scale = CURVE / top_bytes(s);
    uint64_t cap = simulation_cap(s, rank), peak = simulation_peak(s, rank);
    const uint64_t *bytes = s->curve[rank];
    int first = s->first[rank], end = s->first[rank + 1];
    char text[48];

    fprintf(out,
            "<path fill='#9ecae9' stroke='#4c78a8' stroke-width='0.6' "
            "d='M%d %d",
            LEFT, y + CURVE);
    for (int i = first; i < end; i++) {
        double next =
            i + 1 < end ? s->result.event[i + 1].start_ns : s->result.step_ns;
        double at = y + CURVE - scale * (double)bytes[i - first];
        double from = i > first ? s->result.event[i].start_ns : 0;
        fprintf(out, "L%.2f %.2fL%.2f %.2f", x_of(s, from), at, x_of(s, next),
                at);
    }
    fprintf(out, "L%d %dZ'/>\n", LEFT + WIDTH, y + CURVE);
    double at = y + CURVE - scale * (double)peak, label = at + 4;
    snprintf(text, sizeof text, "peak %s", SIZE(peak));
    print_level(at, label, "#4c78a8", text, out);
    if (!cap)
        return;
    if (!is_near(cap, largest_peak(s))) {
        fprintf(out, "<text x='%d' y='%.2f' fill='#c0392b'>cap %s</text>\n",
                LEFT + WIDTH + 4, label - LABEL, SIZE(cap));
        return;
    }
    at = y + CURVE - scale * (double)cap;
    label = at + 4 < label - LABEL ? at + 4 : label - LABEL;
    snprintf(text, sizeof text, "cap %s", SIZE(cap));
    print_level(at, label, "#c0392b", text, out);
}

static void print_rank(const struct simulation *s, int rank, FILE *out)
{
    int y = TOP + rank * ROW;

    fprintf(out, "<text x='4' y='%d' font-weight='bold'>rank %d</text>\n",
            y + BOXES / 2 + 4, rank);
    fprintf(out,
            "<text x='4' y='%d' fill='#666'>memory</text>\n"
            "<rect x='%d' y='%d' width='%d' height='%d' fill='#eee'/>\n",
            y + BOXES + 6 + CURVE / 2 + 4, LEFT, y, WIDTH, BOXES);
    for (int i = s->first[rank]; i < s->first[rank + 1]; i++)
        print_box(s, &s->result.event[i], y, out);
    print_moves(s, rank, y + BOXES, out);
    print_curve(s, rank, y + BOXES + 6, out);
}

/* The least of 1, 2, 5, 10, 20, 50, ... nanoseconds of which at most MOST_TICKS
 * are in the step. */
static double tick_ns(double step_ns)
{
    static const double times[] = {2, 2.5, 2};
    double tick = 1;

    for (int i = 0; step_ns / tick > MOST_TICKS; i++)
        tick *= times[i % 3];
    return tick;
}

static void print_axis(const struct simulation *s, int y, FILE *out)
{
    static const char *const name[] = {"ns", "us", "ms", "s"};
    double step = s->result.step_ns, tick = tick_ns(step), unit = 1;
    int k = 0;

    for (; step / unit >= 1000 && k < 3; k++)
        unit *= 1000;
    for (int i = 0; i * tick <= step; i++) {
        double x = x_of(s, i * tick);
        fprintf(out,
                "<line x1='%.2f' y1='%d' x2='%.2f' y2='%d' stroke='#ccc' "
                "stroke-width='0.5'/>\n<text x='%.2f' y='%d' class='tick' "
                "text-anchor='middle' fill='#666'>%.10g %s</text>\n",
                x, TOP, x, y, x, y + 14, i * tick / unit, name[k]);
    }
}

static void print_legend(const struct simulation *s, FILE *out)
{
    int x = LEFT;

    for (int i = 0; i < KINDS; i++) {
        bool used = false;
        for (int k = 0; k < s->result.events && !used; k++)
            used = s->result.event[k].action.kind == kind[i].kind;
        for (int k = 0; k < s->result.moves && !used; k++)
            used = s->result.move[k].action.kind == kind[i].kind;
        if (!used || !drawn(s, kind[i].kind))
            continue;
        fprintf(out,
                "<rect x='%d' y='30' width='12' height='12' fill='%s'/>\n"
                "<text x='%d' y='40'>%s</text>\n",
                x, kind[i].colour, x + 16, kind[i].name);
        x += 150;
    }
    fprintf(out,
            "<rect x='%d' y='30' width='12' height='12' fill='#eee'/>\n"
            "<text x='%d' y='40'>waiting, messages</text>\n",
            x, x + 16);
}

void print_svg(const struct simulation *s, FILE *out)
{
    const struct dawn_plan_info *info = dawn_plan_info(s->plan);
    int bottom = TOP + s->result.ranks * ROW - GAP / 2;

    fprintf(out,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' "
            "font-family='sans-serif' font-size='%d'>\n"
            "<rect width='100%%' height='100%%' fill='#fff'/>\n"
            "<text x='%d' y='18' font-size='14'>%s, %d stages, %d microbatches "
            "of %lld: step %s</text>\n",
            LEFT + WIDTH + RIGHT, bottom + 24, LABEL, LEFT, info->schedule,
            info->stages, info->microbatches, (long long)info->microbatch,
            TIME(s->result.step_ns));
    print_legend(s, out);
    print_axis(s, bottom, out);
    for (int rank = 0; rank < s->result.ranks; rank++)
        print_rank(s, rank, out);
    fprintf(out, "</svg>\n");
}
