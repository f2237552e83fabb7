/* SPDX-License-Identifier: Apache-2.0 */
/* graph.txt of PipeDream and DAPPLE, see import.h. Fields are split at "--"
 * with white space on both sides, numbers at commas; white space beside them
 * means nothing.
 *
 *   node1 -- Conv2d(3, 64) -- forward_compute_time=0.1, ... [-- stage_id=0]
 *       node1 -- node2
 */
#include "common/array.h"
#include "common/text.h"
#include "import/import.h"

/* What recompute leaves of the activations, by Piper's authors. */
#define LEFT 0.09

/* A line has at most an id, a description, numbers and the stage. */
#define MOST_FIELDS 4

enum number { FORWARD, BACKWARD, ACTIVATION, PARAMETER, NUMBERS };

static const struct {
    const char *key;
    double factor, most; /* after the factor */
} number[NUMBERS] = {
    [FORWARD] = {"forward_compute_time", 1e6, DAWNI_MOST_NS},
    [BACKWARD] = {"backward_compute_time", 1e6, DAWNI_MOST_NS},
    [ACTIVATION] = {"activation_size", 1, DAWNI_MOST_NODE_BYTES},
    [PARAMETER] = {"parameter_size", 1, DAWNI_MOST_NODE_BYTES},
};

struct line {
    int number;
    int fields; /* more than MOST_FIELDS: too many */
    char *field[MOST_FIELDS];
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Cut white space from both ends. */
static char *trim(char *s)
{
    char *end = s + strlen(s);

    while (is_space(*s))
        s++;
    while (end > s && is_space(end[-1]))
        end--;
    *end = '\0';
    return s;
}

/* Cut the line into fields. */
static void split(char *s, struct line *line)
{
    char *from = s, *at = s;

    line->fields = 0;
    for (;;) {
        bool here = at[0] == '-' && at[1] == '-' && at > s &&
                    is_space(at[-1]) && (is_space(at[2]) || !at[2]);
        if (*at && !here) {
            at++;
            continue;
        }
        bool last = !*at;
        *at = '\0';
        if (line->fields < MOST_FIELDS)
            line->field[line->fields] = trim(from);
        line->fields++;
        if (last)
            return;
        from = at += 2;
    }
}

/* Numbers */

static enum dawn_status parse_number(const struct dawni_import *in, int line,
                                     const char *key, char *text, double *x,
                                     struct dawn_error *err)
{
    char *end;

    text = trim(text);
    *x = dawni_double_parse(text, &end);
    if (end != text && !*end)
        return DAWN_OK;
    return dawni_import_fail(in, line, err, "%s: '%.100s' is no number", key,
                             text);
}

/* One number, or the sum of a list, "[1; 2; 3]". */
static enum dawn_status parse_value(const struct dawni_import *in, int line,
                                    enum number n, char *text, double *sum,
                                    struct dawn_error *err)
{
    const char *key = number[n].key;
    double most = number[n].most / number[n].factor, x;
    size_t bytes = strlen(text);
    enum dawn_status st = DAWN_OK;
    char *part, *rest = text;

    if (n == ACTIVATION && *text == '[' && text[bytes - 1] == ']') {
        text[bytes - 1] = '\0';
        rest = text + 1;
    }
    const char *between = rest > text ? ";" : "";
    *sum = 0;
    while (!st && (part = strsep(&rest, between))) {
        st = parse_number(in, line, key, part, &x, err);
        if (!st)
            st = dawni_import_check(in, line, key, x, most, err);
        if (!st)
            *sum += x;
    }
    if (!st)
        st = dawni_import_check(in, line, key, *sum, most, err);
    *sum = dawni_import_scale(*sum, number[n].factor);
    return st;
}

static int find_number(const char *key)
{
    for (int n = 0; n < NUMBERS; n++)
        if (strcmp(number[n].key, key) == 0)
            return n;
    return -1;
}

/* "key=value, key=value" */
static enum dawn_status parse_numbers(const struct dawni_import *in, int line,
                                      char *text, double value[NUMBERS],
                                      struct dawn_error *err)
{
    bool seen[NUMBERS] = {false};
    enum dawn_status st = DAWN_OK;
    char *item;

    while ((item = strsep(&text, ",")) && !st) {
        char *x = item, *key = trim(strsep(&x, "="));
        int n = find_number(key);
        if (n < 0 || !x || seen[n])
            return dawni_import_fail(in, line, err,
                                     "'%.100s' is %s; a node has "
                                     "forward_compute_time=, "
                                     "backward_compute_time=, activation_size="
                                     ", parameter_size=",
                                     key,
                                     n < 0     ? "no number of a node"
                                     : seen[n] ? "there twice"
                                               : "without its value");
        seen[n] = true;
        st = parse_value(in, line, (enum number)n, trim(x), &value[n], err);
    }
    for (int n = 0; n < NUMBERS && !st; n++)
        if (!seen[n])
            st = dawni_import_fail(in, line, err, "no %s", number[n].key);
    return st;
}

/* Lines */

struct edge {
    const char *from, *to;
    int line;
};

struct text {
    struct dawni_import *in;
    struct edge *edge;
    int edges, edge_room;
};

static enum dawn_status read_node(struct dawni_import *in,
                                  const struct line *line,
                                  struct dawn_error *err)
{
    double v[NUMBERS];
    enum dawn_status st =
        parse_numbers(in, line->number, line->field[2], v, err);

    if (st)
        return st;
    double a = v[ACTIVATION], w = v[PARAMETER];
    double time = v[FORWARD] + v[BACKWARD];
    struct dawni_import_node node = {
        .name = line->field[0],
        .label = line->field[1],
        .f_ns = v[FORWARD],
        .b_ns = v[BACKWARD],
        .output_bytes = a,
        .param_bytes = w,
        .variants = 2,
        .variant = {{"vanilla", time, a, 2 * w},
                    {"activation recomp", time + v[FORWARD],
                     dawni_import_scale(a, LEFT),
                     2 * w + dawni_import_scale(a, 1 - LEFT)}},
        .line = line->number,
    };
    return dawni_import_add_node(in, &node, err);
}

/* An edge waits until all nodes are known. */
static enum dawn_status add_edge(struct text *t, const struct line *line,
                                 struct dawn_error *err)
{
    if (!dawni_array_reserve(&t->edge, &t->edge_room, t->edges + 1))
        return dawni_import_no_memory(err);
    t->edge[t->edges++] =
        (struct edge){line->field[0], line->field[1], line->number};
    return DAWN_OK;
}

static enum dawn_status read_line(struct text *t, const struct line *line,
                                  struct dawn_error *err)
{
    if (line->fields == 1 && !*line->field[0])
        return DAWN_OK;
    if (line->fields == 2)
        return add_edge(t, line, err);
    if (line->fields == 3 ||
        (line->fields == 4 && strncmp(line->field[3], "stage_id=", 9) == 0))
        return read_node(t->in, line, err);
    return dawni_import_fail(t->in, line->number, err,
                             "neither a node, 'ID -- DESCRIPTION -- NUMBERS' "
                             "and perhaps '-- stage_id=S', nor an edge, 'ID -- "
                             "ID'");
}

/* Is the label that word, perhaps numbered, alone or before arguments? "Input0"
 * and "__getitem__(1)" are, the layer "InputEmbedding(50257, 1024)" is not. */
static bool is_called(const char *label, const char *word)
{
    size_t bytes = strlen(word);

    if (strncmp(label, word, bytes) != 0)
        return false;
    bytes += strspn(label + bytes, "0123456789");
    return label[bytes] == '\0' || label[bytes] == '(';
}

struct role {
    bool takes, gives; /* has edges to it, from it */
    bool spare;        /* an item that is picked and given to nobody */
    bool needed;       /* gives to a node that is no spare item */
};

static void find_roles(const struct dawni_import *in, struct role *role)
{
    for (int i = 0; i < in->edges; i++) {
        role[in->edge[i].from].gives = true;
        role[in->edge[i].to].takes = true;
    }
    for (int i = 0; i < in->nodes; i++)
        role[i].spare =
            !role[i].gives && is_called(in->node[i].label, "__getitem__");
    for (int i = 0; i < in->edges; i++)
        role[in->edge[i].from].needed |= !role[in->edge[i].to].spare;
}

/* Leave out, as PipeDream's planner does, inputs, which have the time of
 * loading data and no inputs of their own, and spare items; but an item of what
 * nobody else takes is what the model makes. */
static enum dawn_status drop(struct dawni_import *in, struct dawn_error *err)
{
    struct role *role = dawni_calloc(in->nodes, sizeof *role);
    bool *out = dawni_calloc(in->nodes, sizeof *out);
    enum dawn_status st = DAWN_OK;

    if (!out || !role)
        st = dawni_import_no_memory(err);
    else
        find_roles(in, role);
    for (int i = 0; !st && i < in->nodes; i++)
        out[i] = role[i].spare ||
                 (!role[i].takes && is_called(in->node[i].label, "Input"));
    for (int i = 0; !st && i < in->edges; i++)
        if (role[in->edge[i].to].spare && !role[in->edge[i].from].needed)
            out[in->edge[i].to] = false;
    if (!st)
        st = dawni_import_drop(in, out, err);
    free(role);
    free(out);
    return st;
}

static enum dawn_status read_lines(struct text *t, char *s,
                                   struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;
    struct line line = {0};

    for (char *rest = s; !st && (s = strsep(&rest, "\n"));) {
        line.number++;
        split(s, &line);
        st = read_line(t, &line, err);
    }
    for (int i = 0; i < t->edges && !st; i++)
        st = dawni_import_add_edge(t->in, t->edge[i].from, t->edge[i].to,
                                   t->edge[i].line, err);
    return st;
}

static enum dawn_status read_text(struct dawni_import *in, char *s,
                                  size_t bytes, struct dawn_error *err)
{
    struct text t = {.in = in};
    enum dawn_status st;
    int line = 1;

    if (strlen(s) < bytes) {
        for (; *s; s++)
            line += *s == '\n';
        return dawni_import_fail(in, line, err, "a zero byte: no text");
    }
    st = read_lines(&t, s, err);
    free(t.edge);
    return st ? st : drop(in, err);
}

const struct dawni_import_ops dawni_import_pipedream = {
    .name = "pipedream",
    .text = "graph.txt of PipeDream's profiler, and of DAPPLE's",
    .read = read_text,
};
