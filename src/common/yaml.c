/* SPDX-License-Identifier: Apache-2.0 */
/* From libyaml's events to a tree. */
#include "common/yaml.h"
#include "common/array.h"
#include "common/file.h"
#include "common/namemap.h"

#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

#define MAX_BYTES ((size_t)64 << 20)
#define MAX_DEPTH 32
#define MAX_NODES (4 << 20)
#define BLOCK_BYTES ((size_t)64 << 10)

/* Memory of a document: never moves, goes all at once. */
struct block {
    struct block *next;
    size_t used, room;
    _Alignas(max_align_t) char data[];
};

struct dawni_yaml_doc {
    char *name;
    struct block *block; /* the newest first */
    struct dawni_yaml *root;
    int nodes;
};

/* A list or mapping that is not closed yet. */
struct level {
    struct dawni_yaml *node, *last;
    const char *key; /* of the next value; NULL: a key comes next */
    int key_line;
};

struct builder {
    struct dawni_yaml_doc *doc;
    struct level level[MAX_DEPTH];
    int depth;
    bool ended; /* the first document's end was seen */
    struct dawn_error *err;
};

/* Memory */

static void *doc_alloc(struct dawni_yaml_doc *doc, size_t bytes)
{
    size_t step = _Alignof(max_align_t);
    size_t need = (bytes + step - 1) / step * step;
    struct block *block = doc->block;

    if (!block || block->room - block->used < need) {
        size_t room = need > BLOCK_BYTES ? need : BLOCK_BYTES;
        block = malloc(sizeof *block + room);
        if (!block)
            return NULL;
        *block = (struct block){.next = doc->block, .room = room};
        doc->block = block;
    }
    void *memory = block->data + block->used;
    block->used += need;
    return memory;
}

void dawni_yaml_destroy(struct dawni_yaml_doc *doc)
{
    if (!doc)
        return;
    while (doc->block) {
        struct block *next = doc->block->next;
        free(doc->block);
        doc->block = next;
    }
    free(doc->name);
    free(doc);
}

/* Errors */

static enum dawn_status fail_at(const struct builder *b, int line,
                                const char *format, ...) DAWN_PRINTF(3, 4);

static enum dawn_status fail_at(const struct builder *b, int line,
                                const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return dawn_fail(b->err, DAWN_E_FORMAT, "%s:%d: %s", b->doc->name, line,
                     text);
}

static enum dawn_status fail_memory(const struct builder *b)
{
    return dawn_fail(b->err, DAWN_E_NOMEM, "%s: no memory to read it",
                     b->doc->name);
}

/* What libyaml itself did not like. */
static enum dawn_status fail_syntax(const struct builder *b,
                                    const yaml_parser_t *parser,
                                    const char *text)
{
    const char *why = parser->problem ? parser->problem : "malformed";
    int line = 1;

    if (parser->error == YAML_MEMORY_ERROR)
        return fail_memory(b);
    if (parser->error != YAML_READER_ERROR)
        return fail_at(b, (int)parser->problem_mark.line + 1, "%s", why);
    for (size_t i = 0; i < parser->problem_offset; i++)
        line += text[i] == '\n';
    return fail_at(b, line, "%s", why);
}

/* Building */

static enum dawn_status node_new(struct builder *b, const yaml_event_t *event,
                                 enum dawni_yaml_kind kind,
                                 struct dawni_yaml **node_p)
{
    int line = (int)event->start_mark.line + 1;

    if (b->doc->nodes == MAX_NODES)
        return fail_at(b, line, "more than %d values", MAX_NODES);
    struct dawni_yaml *node = doc_alloc(b->doc, sizeof *node);
    if (!node)
        return fail_memory(b);
    *node = (struct dawni_yaml){.kind = kind, .line = line, .doc = b->doc};
    b->doc->nodes++;
    *node_p = node;
    return DAWN_OK;
}

/* Hang a value where the parser is: under a key, in a list, or as the root. */
static enum dawn_status node_hang(struct builder *b, struct dawni_yaml *node)
{
    if (!b->depth) {
        b->doc->root = node;
        return DAWN_OK;
    }
    struct level *up = &b->level[b->depth - 1];
    if (up->node->kind == DAWNI_YAML_MAP && !up->key)
        return fail_at(b, node->line, "a key must be a plain word");
    node->parent = up->node;
    node->key = up->key;
    if (up->key)
        node->line =
            node->kind == DAWNI_YAML_SCALAR ? node->line : up->key_line;
    up->key = NULL;
    if (up->last)
        up->last->next = node;
    else
        up->node->first = node;
    up->last = node;
    up->node->items++;
    return DAWN_OK;
}

static const char *copy_text(struct builder *b, const yaml_event_t *event)
{
    size_t bytes = event->data.scalar.length;
    char *text = doc_alloc(b->doc, bytes + 1);

    if (!text)
        return NULL;
    memcpy(text, event->data.scalar.value, bytes);
    text[bytes] = '\0';
    return text;
}

static enum dawn_status on_scalar(struct builder *b, const yaml_event_t *event)
{
    int line = (int)event->start_mark.line + 1;
    size_t bytes = event->data.scalar.length;
    struct level *up = b->depth ? &b->level[b->depth - 1] : NULL;
    struct dawni_yaml *node;
    enum dawn_status st;

    if (event->data.scalar.anchor)
        return fail_at(b, line, "anchors are not supported");
    if (event->data.scalar.tag)
        return fail_at(b, line, "tags are not supported");
    if (memchr(event->data.scalar.value, 0, bytes))
        return fail_at(b, line, "a zero byte in a string");
    const char *text = copy_text(b, event);
    if (!text)
        return fail_memory(b);
    if (up && up->node->kind == DAWNI_YAML_MAP && !up->key) {
        up->key = text;
        up->key_line = line;
        return DAWN_OK;
    }
    if ((st = node_new(b, event, DAWNI_YAML_SCALAR, &node)))
        return st;
    node->text = text;
    return node_hang(b, node);
}

static enum dawn_status on_start(struct builder *b, const yaml_event_t *event,
                                 enum dawni_yaml_kind kind)
{
    bool list = kind == DAWNI_YAML_LIST;
    struct dawni_yaml *node;
    enum dawn_status st;

    if ((st = node_new(b, event, kind, &node)))
        return st;
    if (list ? event->data.sequence_start.anchor
             : event->data.mapping_start.anchor)
        return fail_at(b, node->line, "anchors are not supported");
    if (list ? event->data.sequence_start.tag : event->data.mapping_start.tag)
        return fail_at(b, node->line, "tags are not supported");
    if (b->depth == MAX_DEPTH)
        return fail_at(b, node->line, "more than %d levels", MAX_DEPTH);
    if ((st = node_hang(b, node)))
        return st;
    b->level[b->depth++] = (struct level){.node = node};
    return DAWN_OK;
}

static enum dawn_status fail_twice(const struct builder *b,
                                   const struct dawni_yaml *map,
                                   const struct dawni_yaml *again)
{
    const struct dawni_yaml *at = map->first;

    while (strcmp(at->key, again->key) != 0)
        at = at->next;
    return fail_at(b, again->line,
                   "key '%.100s' stands twice, first in line %d", again->key,
                   at->line);
}

/* Every key once: compared in pairs while few, by a map of names when many. */
static enum dawn_status check_keys(struct builder *b,
                                   const struct dawni_yaml *map)
{
    struct dawni_namemap *names = NULL;
    enum dawn_status st = DAWN_OK;

    if (map->items > 16 && !(names = dawni_namemap_create()))
        return fail_memory(b);
    for (const struct dawni_yaml *at = map->first; at && !st; at = at->next) {
        if (names) {
            st = dawni_namemap_add(names, at->key, 0);
        } else {
            const struct dawni_yaml *other = map->first;
            while (other != at && strcmp(other->key, at->key) != 0)
                other = other->next;
            st = other == at ? DAWN_OK : DAWN_E_INVAL;
        }
        if (st)
            st = st == DAWN_E_NOMEM ? fail_memory(b) : fail_twice(b, map, at);
    }
    dawni_namemap_destroy(names);
    return st;
}

static enum dawn_status on_event(struct builder *b, const yaml_event_t *event)
{
    int line = (int)event->start_mark.line + 1;

    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(b, event, DAWNI_YAML_LIST);
    case YAML_MAPPING_START_EVENT:
        return on_start(b, event, DAWNI_YAML_MAP);
    case YAML_SEQUENCE_END_EVENT:
        b->depth--;
        return DAWN_OK;
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return check_keys(b, b->level[b->depth].node);
    case YAML_ALIAS_EVENT:
        return fail_at(b, line, "aliases are not supported");
    case YAML_DOCUMENT_START_EVENT:
        if (b->ended)
            return fail_at(b, line, "a second document");
        return DAWN_OK;
    case YAML_DOCUMENT_END_EVENT:
        b->ended = true;
        return DAWN_OK;
    default:
        return DAWN_OK;
    }
}

static enum dawn_status build(struct builder *b, yaml_parser_t *parser,
                              const char *text)
{
    enum dawn_status st = DAWN_OK;
    bool last = false;

    while (!st && !last) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return fail_syntax(b, parser, text);
        last = event.type == YAML_STREAM_END_EVENT;
        st = on_event(b, &event);
        yaml_event_delete(&event);
    }
    if (!st && !b->doc->root)
        return fail_at(b, 1, "the file is empty");
    return st;
}

enum dawn_status dawni_yaml_parse(const char *name, const char *text,
                                  size_t bytes, struct dawni_yaml_doc **doc_p,
                                  struct dawn_error *err)
{
    struct builder b = {.err = err};
    yaml_parser_t parser;
    enum dawn_status st;

    b.doc = calloc(1, sizeof *b.doc);
    if (!b.doc || !(b.doc->name = strdup(name)) ||
        !yaml_parser_initialize(&parser)) {
        dawni_yaml_destroy(b.doc);
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory to read it", name);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    if (bytes > MAX_BYTES)
        st = fail_at(&b, 1, "larger than %zu MiB", MAX_BYTES >> 20);
    else
        st = build(&b, &parser, text);
    yaml_parser_delete(&parser);
    if (st) {
        dawni_yaml_destroy(b.doc);
        return st;
    }
    *doc_p = b.doc;
    return DAWN_OK;
}

enum dawn_status dawni_yaml_load(const char *path,
                                 struct dawni_yaml_doc **doc_p,
                                 struct dawn_error *err)
{
    enum dawn_status st;
    size_t bytes;
    char *text;

    if ((st = dawni_file_read(path, MAX_BYTES, &text, &bytes, err)))
        return st;
    st = dawni_yaml_parse(path, text, bytes, doc_p, err);
    free(text);
    return st;
}

const struct dawni_yaml *dawni_yaml_root(const struct dawni_yaml_doc *doc)
{
    return doc->root;
}

const struct dawni_yaml *dawni_yaml_get(const struct dawni_yaml *map,
                                        const char *key)
{
    const struct dawni_yaml *at =
        map->kind == DAWNI_YAML_MAP ? map->first : NULL;

    while (at && strcmp(at->key, key) != 0)
        at = at->next;
    return at;
}

enum dawn_status dawni_yaml_fail(const struct dawni_yaml *node,
                                 enum dawn_status status,
                                 struct dawn_error *err, const char *format,
                                 ...)
{
    char text[sizeof err->text];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return dawn_fail(err, status, "%s:%d: %s", node->doc->name, node->line,
                     text);
}
