/* SPDX-License-Identifier: Apache-2.0 */
/* Passes by name: what plans, profiles and the memory model know of them. What
 * they do is in optim.
 *
 * A pass goes beside training: it may observe gradients, keep arrays of its own
 * for every weight, on the rank that owns it, and change the update. Where the
 * plan offloads a weight's moments, the arrays of a pass that trains go with
 * them, and are only read. A job without passes has none of this in its
 * program. Parameters that are averages belong to no pass.
 */
#ifndef DAWNI_PASSES_PASSES_H
#define DAWNI_PASSES_PASSES_H

#include "common/text.h"
#include "common/yaml.h"

#define DAWNI_PASS_ARRAYS 4 /* of all passes of a job */
#define DAWNI_PASS_NAMES 64 /* bytes of their names, joined */

enum dawni_observation {
    DAWNI_OBSERVES_NOTHING,
    DAWNI_OBSERVES_MICROBATCHES, /* the gradient of each alone */
    DAWNI_OBSERVES_STEPS,        /* summed over the step's microbatches */
};

struct dawni_pass_kind {
    const char *name;
    int arrays;               /* of a weight's shape */
    uint8_t element_bytes[2]; /* of each array */
    enum dawni_observation observes;
    bool trains;  /* weights are updated: AdamW keeps its moments */
    bool changes; /* it does the update in AdamW's place */
};

/* The passes of a job. All zero: none. */
struct dawni_passes {
    int n;
    const struct dawni_pass_kind *kind[DAWNI_PASS_ARRAYS];
};

/* NULL: no such pass */
const struct dawni_pass_kind *dawni_pass_find(const char *name);

/* From names joined by commas: "ewc"; "" is none. Returns DAWN_OK, or
 * DAWN_E_INVAL: no such pass, twice the same, more than may go together. */
enum dawn_status dawni_passes_parse(const char *names,
                                    struct dawni_passes *passes,
                                    struct dawn_error *err);

/* The same from a list in a file, and back. names: DAWNI_PASS_NAMES bytes. */
enum dawn_status dawni_passes_read(const struct dawni_yaml *list, char *names,
                                   struct dawn_error *err);
/* "passes: [ewc]", a line; nothing where there are none. */
void dawni_passes_write(struct dawni_text *text, const char *names);

/* Arrays that all of them keep; bytes of an element of the i-th; the first
 * array of pass k. */
int dawni_passes_arrays(const struct dawni_passes *passes);
int dawni_passes_element_bytes(const struct dawni_passes *passes, int i);
int dawni_passes_first(const struct dawni_passes *passes, int k);

/* Does any observe that? Is any weight trained? */
bool dawni_passes_observe(const struct dawni_passes *passes,
                          enum dawni_observation what);
bool dawni_passes_train(const struct dawni_passes *passes);

#endif
