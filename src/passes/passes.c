/* SPDX-License-Identifier: Apache-2.0 */
#include "passes/passes.h"

#include <stdio.h>
#include <string.h>

static const struct dawni_pass_kind kinds[] = {
    /* Fisher information and anchor; an anchor is always f32 */
    {"ewc", 2, {4, 4}, DAWNI_OBSERVES_NOTHING, true, true},
    {"ewc-bf16", 2, {2, 4}, DAWNI_OBSERVES_NOTHING, true, true},
    /* sums of squares */
    {"fisher", 1, {4}, DAWNI_OBSERVES_MICROBATCHES, false, false},
    {"fisher-of-batch-mean", 1, {4}, DAWNI_OBSERVES_STEPS, false, false},
};

#define KINDS (sizeof kinds / sizeof *kinds)

const struct dawni_pass_kind *dawni_pass_find(const char *name)
{
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

static enum dawn_status unknown(const char *name, struct dawn_error *err)
{
    char all[200] = "";

    for (size_t i = 0; i < KINDS; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "",
                 kinds[i].name);
    }
    return dawn_fail(err, DAWN_E_INVAL, "pass '%.60s' is none of %s", name,
                     all);
}

static enum dawn_status add(struct dawni_passes *passes, const char *name,
                            struct dawn_error *err)
{
    const struct dawni_pass_kind *kind = dawni_pass_find(name);

    if (!kind)
        return unknown(name, err);
    for (int i = 0; i < passes->n; i++) {
        const struct dawni_pass_kind *other = passes->kind[i];
        if (other == kind || (other->changes && kind->changes) ||
            !other->trains || !kind->trains)
            return dawn_fail(err, DAWN_E_INVAL,
                             "passes '%s' and '%s' do not go together",
                             other->name, name);
    }
    passes->kind[passes->n++] = kind;
    return DAWN_OK;
}

enum dawn_status dawni_passes_parse(const char *names,
                                    struct dawni_passes *passes,
                                    struct dawn_error *err)
{
    struct dawni_passes made = {0};
    char text[DAWNI_PASS_NAMES];
    char *rest = text, *name;
    enum dawn_status st = DAWN_OK;

    if (strlen(names) >= sizeof text)
        return dawn_fail(err, DAWN_E_INVAL, "passes '%.100s': too many", names);
    strcpy(text, names);
    while (*text && !st && (name = strsep(&rest, ",")))
        st = add(&made, name, err);
    if (!st)
        *passes = made;
    return st;
}

enum dawn_status dawni_passes_read(const struct dawni_yaml *list, char *names,
                                   struct dawn_error *err)
{
    char joined[DAWNI_PASS_NAMES] = "";
    struct dawni_passes passes;
    struct dawn_error why;

    for (const struct dawni_yaml *at = list->first; at; at = at->next) {
        size_t used = strlen(joined);
        if (at->kind != DAWNI_YAML_SCALAR)
            return dawni_yaml_expected(at, "the name of a pass", err);
        if (used + strlen(at->text) + 2 > sizeof joined)
            return dawni_yaml_fail(at, DAWN_E_FORMAT, err,
                                   "key 'passes': too many or too long");
        snprintf(joined + used, sizeof joined - used, "%s%s", used ? "," : "",
                 at->text);
    }
    if (dawni_passes_parse(joined, &passes, &why))
        return dawni_yaml_fail(list, DAWN_E_FORMAT, err, "key 'passes': %s",
                               why.text);
    strcpy(names, joined);
    return DAWN_OK;
}

void dawni_passes_write(struct dawni_text *text, const char *names)
{
    if (!*names)
        return;
    dawni_text_add(text, "passes: [");
    for (const char *c = names; *c; c++)
        dawni_text_addf(text, *c == ',' ? "%c " : "%c", *c);
    dawni_text_add(text, "]\n");
}

int dawni_passes_first(const struct dawni_passes *passes, int k)
{
    int n = 0;

    for (int i = 0; i < k; i++)
        n += passes->kind[i]->arrays;
    return n;
}

int dawni_passes_arrays(const struct dawni_passes *passes)
{
    return dawni_passes_first(passes, passes->n);
}

int dawni_passes_element_bytes(const struct dawni_passes *passes, int i)
{
    int k = 0;

    for (; i >= passes->kind[k]->arrays; k++)
        i -= passes->kind[k]->arrays;
    return passes->kind[k]->element_bytes[i];
}

bool dawni_passes_observe(const struct dawni_passes *passes,
                          enum dawni_observation what)
{
    for (int i = 0; i < passes->n; i++)
        if (passes->kind[i]->observes == what)
            return true;
    return false;
}

bool dawni_passes_train(const struct dawni_passes *passes)
{
    for (int i = 0; i < passes->n; i++)
        if (!passes->kind[i]->trains)
            return false;
    return true;
}
