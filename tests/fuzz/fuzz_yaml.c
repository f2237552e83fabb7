/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: the YAML reader with every type of value; what it accepts must
 * be written so that it reads back as the same.
 */
#include "common/text.h"
#include "common/yaml.h"
#include "fuzz/fuzz.h"

#include <string.h>

static const char *const words[] = {"red", "green", NULL};

/* Try every type on every node. */
static void read_all(const struct dawni_yaml *node)
{
    const struct dawni_yaml_field none[] = {{.key = "layers"}, {.key = "in"}};
    struct dawn_error err;
    int64_t i;
    uint64_t u;
    double x;
    bool b;
    int choice;
    char s[16];
    int out;

    dawni_yaml_int(node, -5, 1 << 20, &i, &err);
    dawni_yaml_u64(node, &u, &err);
    dawni_yaml_size(node, 0, DAWNI_MOST_BYTES, &u, &err);
    dawni_yaml_double(node, 0, DAWNI_MOST_NS, &x, &err);
    dawni_yaml_bool(node, &b, &err);
    dawni_yaml_digest(node, &u, &err);
    dawni_yaml_choice(node, words, &choice, &err);
    dawni_yaml_string(node, s, sizeof s, &err);
    dawni_yaml_read(node, none, 2, &out, &err);
    dawni_yaml_get(node, "layers");
    for (const struct dawni_yaml *at = node->first; at; at = at->next)
        read_all(at);
}

static void write_all(struct dawni_text *t, const struct dawni_yaml *node)
{
    const char *comma = "";

    if (node->key) {
        dawni_text_add_scalar(t, node->key);
        dawni_text_add(t, ": ");
    }
    if (node->kind == DAWNI_YAML_SCALAR) {
        dawni_text_add_scalar(t, node->text);
        return;
    }
    dawni_text_add(t, node->kind == DAWNI_YAML_LIST ? "[" : "{");
    for (const struct dawni_yaml *at = node->first; at; at = at->next) {
        dawni_text_add(t, comma);
        write_all(t, at);
        comma = ", ";
    }
    dawni_text_add(t, node->kind == DAWNI_YAML_LIST ? "]" : "}");
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static void compare(const struct dawni_yaml *a, const struct dawni_yaml *b)
{
    const struct dawni_yaml *x = a->first, *y = b->first;

    if (a->kind != b->kind || a->items != b->items || !same(a->key, b->key) ||
        !same(a->text, b->text))
        abort();
    for (; x; x = x->next, y = y->next)
        compare(x, y);
}

/* A key of more than 1024 bytes cannot stand in one line. */
static bool writable(const struct dawni_yaml *node)
{
    if (node->key && strlen(node->key) > 100)
        return false;
    for (const struct dawni_yaml *at = node->first; at; at = at->next)
        if (!writable(at))
            return false;
    return true;
}

static void round_trip(const struct dawni_yaml *root)
{
    struct dawni_yaml_doc *doc = NULL;
    struct dawni_text t = {0};

    write_all(&t, root);
    if (t.error.status ||
        dawni_yaml_parse("again", t.data, t.bytes, &doc, NULL))
        abort();
    compare(root, dawni_yaml_root(doc));
    dawni_yaml_destroy(doc);
    dawni_text_clear(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dawni_yaml_doc *doc = NULL;
    struct dawn_error err;

    if (dawni_yaml_parse("fuzz", (const char *)data, size, &doc, &err))
        return 0;
    read_all(dawni_yaml_root(doc));
    dawni_yaml_check_kind(doc, "plan/1", &err);
    if (writable(dawni_yaml_root(doc)))
        round_trip(dawni_yaml_root(doc));
    dawni_yaml_destroy(doc);
    return 0;
}
