/* SPDX-License-Identifier: Apache-2.0 */
/* Piper's JSON, see import.h. jansson knows no lines, so those of nodes and
 * edges are looked for in the text.
 */
#include "common/array.h"
#include "common/text.h"
#include "import/import.h"
#include <jansson.h>
#include <stdio.h>

struct reader {
    struct dawni_import *in;
    const json_t *nodes, *edges;
    int *node_line, *edge_line;
};

/* Lines */

struct scan {
    const char *key; /* of the root */
    int *line;       /* out: by element of the array there */
    int lines, found;
    int depth;
    bool named;  /* the last string was the key */
    bool inside; /* the array */
    bool wanted; /* an element begins with what comes next */
};

/* Behind the string that begins at s. */
static const char *skip_string(struct scan *c, const char *s)
{
    const char *begin = ++s;

    for (; *s != '"'; s++)
        s += *s == '\\';
    c->named = c->depth == 1 && (size_t)(s - begin) == strlen(c->key) &&
               memcmp(begin, c->key, strlen(c->key)) == 0;
    return s + 1;
}

static void scan_one(struct scan *c, char s, int line)
{
    if (c->inside && c->depth == 2 && c->wanted && !strchr(" \t\r\n]", s)) {
        c->wanted = false;
        if (c->found < c->lines)
            c->line[c->found++] = line;
    }
    if (s == '[' && c->depth == 1 && c->named)
        c->inside = c->wanted = true;
    if (s == '[' || s == '{')
        c->depth++;
    if (s == ']' || s == '}')
        c->inside = --c->depth > 1 && c->inside;
    if (s == ',' && c->depth == 2)
        c->wanted = true;
}

/* Lines on which the elements of the root's array `key` begin, in text that is
 * known to be JSON. NULL: no memory. */
static int *find_lines(const char *s, const char *key, const json_t *array)
{
    struct scan c = {.key = key, .lines = (int)json_array_size(array)};
    int line = 1;

    c.line = dawni_calloc(c.lines, sizeof *c.line);
    while (c.line && *s) {
        line += *s == '\n';
        scan_one(&c, *s, line);
        if (*s == '"')
            s = skip_string(&c, s);
        else
            s++;
    }
    return c.line;
}

/* Values */

/* A member of an object that is a number, times the factor. */
static enum dawn_status get_number(const struct dawni_import *in, int line,
                                   const json_t *object, const char *key,
                                   double most, double *x_p,
                                   struct dawn_error *err)
{
    const json_t *x = json_object_get(object, key);

    if (!json_is_number(x))
        return dawni_import_fail(in, line, err, "'%s' %s", key,
                                 x ? "is no number" : "is missing");
    *x_p = json_number_value(x);
    return dawni_import_check(in, line, key, *x_p, most, err);
}

/* A node's id, as text. */
static enum dawn_status get_id(const struct dawni_import *in, int line,
                               const json_t *object, const char *key,
                               char text[24], struct dawn_error *err)
{
    const json_t *id = json_object_get(object, key);

    if (!json_is_integer(id) || json_integer_value(id) < 0)
        return dawni_import_fail(in, line, err, "'%s' %s", key,
                                 id ? "is no integer >= 0" : "is missing");
    snprintf(text, 24, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
    return DAWN_OK;
}

/* Nodes */

static const char *const variant_id[DAWN_MAX_VARIANTS] = {"vanilla",
                                                          "activation recomp"};

static enum dawn_status read_variant(const struct dawni_import *in,
                                     const json_t *json,
                                     struct dawni_import_node *node,
                                     struct dawn_error *err)
{
    const char *id = json_string_value(json_object_get(json, "id"));
    int k = 0, line = node->line;
    enum dawn_status st;
    double s;

    while (id && k < DAWN_MAX_VARIANTS && strcmp(id, variant_id[k]) != 0)
        k++;
    if (!id || k == DAWN_MAX_VARIANTS || node->variant[k].name)
        return dawni_import_fail(in, line, err,
                                 "node %s: 'id' in TMPCs is \"%.100s\"; it is "
                                 "\"%s\" once and perhaps \"%s\" once",
                                 node->name, id ? id : "", variant_id[0],
                                 variant_id[1]);
    struct dawn_node_variant *v = &node->variant[k];
    if ((st = get_number(in, line, json, "timePerSample", DAWNI_MOST_NS / 1e9,
                         &s, err)) ||
        (st = get_number(in, line, json, "memoryUsageA", DAWNI_MOST_NODE_BYTES,
                         &v->saved_bytes, err)) ||
        (st = get_number(in, line, json, "memoryUsageB", DAWNI_MOST_NODE_BYTES,
                         &v->fixed_bytes, err)) ||
        (st = get_number(in, line, json, "parameterSize", DAWNI_MOST_NODE_BYTES,
                         &node->param_bytes, err)))
        return st;
    v->name = variant_id[k];
    v->ns = dawni_import_scale(s, 1e9);
    node->variants++;
    return DAWN_OK;
}

/* Recompute runs F again. */
static void split_time(struct dawni_import_node *node)
{
    double time = node->variant[0].ns, f = time / 3;

    if (node->variants > 1)
        f = node->variant[1].ns - time;
    node->f_ns = f < 0 ? 0 : f > time ? time : f;
    node->b_ns = time - node->f_ns;
}

static enum dawn_status read_node(struct dawni_import *in, const json_t *json,
                                  int line, struct dawn_error *err)
{
    const json_t *list = json_object_get(json_object_get(json, "TMPCs"), "1");
    char id[24];
    struct dawni_import_node node = {.name = id, .line = line};
    enum dawn_status st = get_id(in, line, json, "id", id, err);
    const json_t *label = json_object_get(json, "name");
    size_t i;
    const json_t *one;

    if (st)
        return st;
    if (!json_is_string(label) || !json_is_array(list))
        return dawni_import_fail(in, line, err, "node %s has no %s", id,
                                 json_is_array(list) ? "'name'"
                                                     : "list \"1\" in 'TMPCs'");
    json_array_foreach(list, i, one)
    {
        if ((st = read_variant(in, one, &node, err)))
            return st;
    }
    if (!node.variant[0].name)
        return dawni_import_fail(in, line, err, "node %s has no variant \"%s\"",
                                 id, variant_id[0]);
    split_time(&node);
    node.label = (char *)json_string_value(label); /* copied, not written to */
    node.output_bytes = node.variant[0].saved_bytes;
    return dawni_import_add_node(in, &node, err);
}

static enum dawn_status read_nodes(struct reader *r, struct dawn_error *err)
{
    enum dawn_status st;
    const json_t *node;
    size_t i;

    json_array_foreach(r->nodes, i, node)
    {
        if ((st = read_node(r->in, node, r->node_line[i], err)))
            return st;
    }
    return DAWN_OK;
}

/* Edges */

/* A node sends what its largest edge says. */
static enum dawn_status read_edge(struct dawni_import *in, const json_t *json,
                                  int line, double *sent,
                                  struct dawn_error *err)
{
    char from[24], to[24];
    double bytes;
    enum dawn_status st;

    if ((st = get_id(in, line, json, "sourceId", from, err)) ||
        (st = get_id(in, line, json, "destId", to, err)) ||
        (st = get_number(in, line, json, "communicationCost",
                         DAWNI_MOST_NODE_BYTES, &bytes, err)) ||
        (st = dawni_import_add_edge(in, from, to, line, err)))
        return st;
    int node = in->edge[in->edges - 1].from;
    if (bytes > sent[node])
        sent[node] = bytes;
    in->node[node].output_bytes = sent[node];
    return DAWN_OK;
}

static enum dawn_status read_edges(struct reader *r, struct dawn_error *err)
{
    double *sent = dawni_calloc(r->in->nodes, sizeof *sent);
    enum dawn_status st = sent ? DAWN_OK : dawni_import_no_memory(err);
    const json_t *edge;
    size_t i;

    json_array_foreach(r->edges, i, edge)
    {
        if (!st)
            st = read_edge(r->in, edge, r->edge_line[i], sent, err);
    }
    free(sent);
    return st;
}

/* The file */

/* Numbers and texts of the root; devices and caps are the caller's to say. */
static void note_unused(struct dawni_import *in, json_t *root)
{
    const char *key;
    json_t *value;
    size_t used = 0;

    json_object_foreach(root, key, value)
    {
        size_t room = sizeof in->unused - used;
        char *text =
            json_is_number(value) || json_is_string(value)
                ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10))
                : NULL;
        int n = text ? snprintf(in->unused + used, room, "%s%.40s %.40s",
                                used ? ", " : "", key, text)
                     : 0;
        free(text);
        if (n < 0 || (size_t)n >= room) {
            in->unused[used] = '\0';
            return;
        }
        used += (size_t)n;
    }
}

static enum dawn_status read_root(struct dawni_import *in, const json_t *root,
                                  const char *text, struct dawn_error *err)
{
    struct reader r = {.in = in};
    enum dawn_status st = DAWN_OK;

    r.nodes = json_object_get(root, "nodes");
    r.edges = json_object_get(root, "edges");
    if (!json_is_array(r.nodes) || !json_is_array(r.edges))
        return dawni_import_fail(in, 1, err, "no list '%s'",
                                 json_is_array(r.nodes) ? "edges" : "nodes");
    r.node_line = find_lines(text, "nodes", r.nodes);
    r.edge_line = find_lines(text, "edges", r.edges);
    if (!r.node_line || !r.edge_line)
        st = dawni_import_no_memory(err);
    if (!st)
        st = read_nodes(&r, err);
    if (!st)
        st = read_edges(&r, err);
    free(r.node_line);
    free(r.edge_line);
    return st;
}

static enum dawn_status read_text(struct dawni_import *in, char *text,
                                  size_t bytes, struct dawn_error *err)
{
    json_error_t why;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    enum dawn_status st;

    if (!root && json_error_code(&why) == json_error_out_of_memory)
        return dawni_import_no_memory(err);
    if (!root)
        return dawni_import_fail(in, why.line > 0 ? why.line : 1, err,
                                 "no JSON: %s", why.text);
    st = read_root(in, root, text, err);
    if (!st)
        note_unused(in, root);
    json_decref(root);
    return st;
}

const struct dawni_import_ops dawni_import_piper = {
    .name = "piper",
    .text = "JSON of Piper's inputs",
    .read = read_text,
};
