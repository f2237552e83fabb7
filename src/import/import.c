/* SPDX-License-Identifier: Apache-2.0 */
#include "import/import.h"
#include "common/array.h"
#include "common/file.h"
#include "common/text.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define MOST_BYTES ((size_t)64 << 20) /* of a file */

static const struct dawni_import_ops *const formats[] = {
    &dawni_import_pipedream,
    &dawni_import_piper,
};

#define FORMATS ((int)(sizeof formats / sizeof formats[0]))

const char *dawn_import_format(int i)
{
    return i >= 0 && i < FORMATS ? formats[i]->name : NULL;
}

const char *dawn_import_format_text(int i)
{
    return i >= 0 && i < FORMATS ? formats[i]->text : NULL;
}

void dawni_import_clear(struct dawni_import *in)
{
    for (int i = 0; i < in->nodes; i++) {
        free(in->node[i].name);
        free(in->node[i].label);
    }
    free(in->node);
    free(in->edge);
    dawni_namemap_destroy(in->names);
    *in = (struct dawni_import){0};
}

enum dawn_status dawni_import_fail(const struct dawni_import *in, int line,
                                   struct dawn_error *err, const char *format,
                                   ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return dawn_fail(err, DAWN_E_FORMAT, "%s:%d: %s", in->path, line, text);
}

enum dawn_status dawni_import_check(const struct dawni_import *in, int line,
                                    const char *what, double x, double most,
                                    struct dawn_error *err)
{
    char text[DAWNI_DOUBLE_ROOM], limit[DAWNI_DOUBLE_ROOM];

    if (x >= 0 && x <= most)
        return DAWN_OK;
    return dawni_import_fail(in, line, err, "%s is %s, must be 0 to %s", what,
                             dawni_double_text(x, text),
                             dawni_double_text(most, limit));
}

double dawni_import_scale(double x, double factor)
{
    double scaled = x * factor, near = rint(scaled * 1e6) / 1e6;

    return fabs(near - scaled) <= 1e-15 * scaled ? near : scaled;
}

enum dawn_status dawni_import_no_memory(struct dawn_error *err)
{
    return dawn_fail(err, DAWN_E_NOMEM, "no memory to read a graph");
}

/* Nodes */

static bool is_name(const char *s)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789_.-";

    return *s && !s[strspn(s, allowed)];
}

static enum dawn_status check_node(const struct dawni_import *in,
                                   const struct dawni_import_node *node,
                                   struct dawn_error *err)
{
    int other = dawni_namemap_find(in->names, node->name);

    if (!is_name(node->name))
        return dawni_import_fail(in, node->line, err,
                                 "node '%.100s': an id has only letters, "
                                 "digits, '_', '.', '-'",
                                 node->name);
    if (other >= 0)
        return dawni_import_fail(in, node->line, err,
                                 "node '%.100s' is there already, on line %d",
                                 node->name, in->node[other].line);
    if (node->label && !dawni_utf8_valid(node->label))
        return dawni_import_fail(in, node->line, err,
                                 "node '%.100s': its description is not UTF-8",
                                 node->name);
    return DAWN_OK;
}

enum dawn_status dawni_import_add_node(struct dawni_import *in,
                                       const struct dawni_import_node *node,
                                       struct dawn_error *err)
{
    if (!in->names && !(in->names = dawni_namemap_create()))
        return dawni_import_no_memory(err);
    enum dawn_status st = check_node(in, node, err);
    if (st)
        return st;
    if (!dawni_array_reserve(&in->node, &in->node_room, in->nodes + 1))
        return dawni_import_no_memory(err);
    struct dawni_import_node *to = &in->node[in->nodes];
    *to = *node;
    to->name = strdup(node->name);
    to->label = node->label ? strdup(node->label) : NULL;
    in->nodes++; /* clear takes it from here */
    if (!to->name || (node->label && !to->label) ||
        dawni_namemap_add(in->names, to->name, in->nodes - 1))
        return dawni_import_no_memory(err);
    return DAWN_OK;
}

/* Edges */

static enum dawn_status find_node(const struct dawni_import *in,
                                  const char *name, int line, int *node,
                                  struct dawn_error *err)
{
    *node = in->names ? dawni_namemap_find(in->names, name) : -1;
    if (*node >= 0)
        return DAWN_OK;
    return dawni_import_fail(in, line, err,
                             "an edge names '%.100s', which no node is", name);
}

enum dawn_status dawni_import_add_edge(struct dawni_import *in,
                                       const char *from, const char *to,
                                       int line, struct dawn_error *err)
{
    struct dawni_import_edge edge = {.line = line};
    enum dawn_status st = find_node(in, from, line, &edge.from, err);

    if (!st)
        st = find_node(in, to, line, &edge.to, err);
    if (st)
        return st;
    if (!dawni_array_reserve(&in->edge, &in->edge_room, in->edges + 1))
        return dawni_import_no_memory(err);
    in->edge[in->edges++] = edge;
    return DAWN_OK;
}

enum dawn_status dawni_import_drop(struct dawni_import *in, const bool *drop,
                                   struct dawn_error *err)
{
    int *number = dawni_calloc(in->nodes, sizeof *number);
    int nodes = 0, edges = 0;

    if (!number)
        return dawni_import_no_memory(err);
    for (int i = 0; i < in->nodes; i++) {
        number[i] = nodes;
        if (drop[i]) {
            free(in->node[i].name);
            free(in->node[i].label);
        } else {
            in->node[nodes++] = in->node[i];
        }
    }
    for (int i = 0; i < in->edges; i++) {
        struct dawni_import_edge e = in->edge[i];
        if (drop[e.from] || drop[e.to])
            continue;
        e.from = number[e.from];
        e.to = number[e.to];
        in->edge[edges++] = e;
    }
    in->nodes = nodes;
    in->edges = edges;
    free(number);
    dawni_namemap_destroy(in->names); /* of other numbers */
    in->names = NULL;
    return DAWN_OK;
}

/* Reading */

static const struct dawni_import_ops *find_format(const char *name)
{
    for (int i = 0; i < FORMATS; i++)
        if (strcmp(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}

enum dawn_status dawn_import(const char *format, const char *path,
                             struct dawn_profile **profile_p,
                             struct dawn_error *err)
{
    const struct dawni_import_ops *ops = find_format(format);
    struct dawni_import in = {.path = path, .format = format};
    enum dawn_status st;
    size_t bytes;
    char *text;

    if (!ops)
        return dawn_fail(err, DAWN_E_INVAL,
                         "unknown format '%.100s'; there are %s and %s", format,
                         formats[0]->name, formats[1]->name);
    if ((st = dawni_file_read(path, MOST_BYTES, &text, &bytes, err)))
        return st;
    st = ops->read(&in, text, bytes, err);
    if (!st && !in.nodes)
        st = dawni_import_fail(&in, 1, err, "no node to plan");
    if (!st)
        st = dawni_import_build(&in, profile_p, err);
    dawni_import_clear(&in);
    free(text);
    return st;
}
