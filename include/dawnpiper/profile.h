/* SPDX-License-Identifier: Apache-2.0 */
/* A profile: a graph and what its nodes cost on one kind of device, at several
 * microbatch sizes. The file holds the graph too, so that planning needs
 * nothing else. Read-only once loaded; any number of threads may read it.
 */
#ifndef DAWNPIPER_PROFILE_H
#define DAWNPIPER_PROFILE_H

#include <dawnpiper/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dawn_profile;

/* Costs of one node at one microbatch size. */
struct dawn_node_cost {
    double ns[3];        /* F, B, W: median */
    double spread_ns[3]; /* half the distance between the quartiles */
    uint64_t scratch_bytes[3];
    double update_ns;        /* optimizer step of its parameters, and prepare();
                                the same at every microbatch size */
    uint64_t prepared_bytes; /* compute copies of its parameters; likewise */
};

struct dawn_profile_desc {
    const char *device;      /* "host", "cuda" */
    const char *description; /* of the processor and thread count, for people;
                                may be NULL */
    int sizes;
    const int64_t *size; /* microbatch sizes profiled, ascending, 1 to 2^20 */
};

/* Make an empty profile that owns `graph` (finished) from now on; desc is
 * copied. Returns DAWN_OK, DAWN_E_INVAL or DAWN_E_NOMEM (the graph is then not
 * taken).
 */
DAWN_API enum dawn_status dawn_profile_create(
    struct dawn_graph *graph, const struct dawn_profile_desc *desc,
    struct dawn_profile **profile_p, struct dawn_error *err);

/* Takes NULL. */
DAWN_API void dawn_profile_destroy(struct dawn_profile *profile);

DAWN_API const struct dawn_graph *dawn_profile_graph(
    const struct dawn_profile *profile);
DAWN_API const char *dawn_profile_device(const struct dawn_profile *profile);
DAWN_API const char *dawn_profile_description(
    const struct dawn_profile *profile);
/* What an imported file says that no profile has a place for, to be told to
 * people: "maxDevices 4, maxMemoryPerDevice 80000000000"; "": nothing. It is not
 * saved. */
DAWN_API const char *dawn_profile_unused(const struct dawn_profile *profile);
/* how many sizes, and the i-th */
DAWN_API int dawn_profile_sizes(const struct dawn_profile *profile);
DAWN_API int64_t dawn_profile_size(const struct dawn_profile *profile, int i);
/* index of a size, -1 when it was not profiled */
DAWN_API int dawn_profile_find_size(const struct dawn_profile *profile,
                                    int64_t microbatch);
/* costs of node at size index i; writable until the profile is saved */
DAWN_API struct dawn_node_cost *dawn_profile_cost(struct dawn_profile *profile,
                                                  int node, int i);
DAWN_API const struct dawn_node_cost *dawn_profile_cost_of(
    const struct dawn_profile *profile, int node, int i);

/* Costs of a node at any microbatch size. Where it was not profiled: times by
 * linear interpolation, scratch by the larger neighbour; beyond the largest
 * size both are extrapolated from the last two, and are a guess. False: no such
 * node, or a profile of one size, which is another. */
DAWN_API bool dawn_profile_cost_at(const struct dawn_profile *profile, int node,
                                   int64_t microbatch,
                                   struct dawn_node_cost *cost);
/* The two sizes that those costs come from; the same twice where the microbatch
 * was profiled. False: as above. */
DAWN_API bool dawn_profile_near(const struct dawn_profile *profile,
                                int64_t microbatch, int64_t near[2]);

/* The additive rule of published planners (PipeDream, Piper), for profiles that
 * know no tensors. Stage x = 1..l holds y = min(m, l - x + 1) microbatches in
 * flight; over its nodes, each in one of its variants,
 *   time   = sum of ns
 *   memory = sum of (saved_bytes * y + fixed_bytes)
 * Variant 0 is the node as it is, variant 1, where there is one, saves less and
 * takes longer: activations are recomputed. Numbers are as the source says;
 * bytes need not be whole.
 */
#define DAWN_MAX_VARIANTS 2

struct dawn_node_variant {
    const char *name;   /* for people: "vanilla", "activation recomp" */
    double ns;          /* forward and backward of one microbatch */
    double saved_bytes; /* of each microbatch in flight */
    double fixed_bytes; /* once: parameters, their gradients, ... */
};

/* Give a node its variants, instead of those it had; they are copied.
 * Returns DAWN_OK, DAWN_E_NOMEM, or DAWN_E_INVAL: a node that is none, a count
 * that is not 1 to DAWN_MAX_VARIANTS, no name, a number that is negative or not
 * finite.
 */
DAWN_API enum dawn_status dawn_profile_set_variants(
    struct dawn_profile *profile, int node, int variants,
    const struct dawn_node_variant *variant, struct dawn_error *err);
/* How many variants a node has, 0: none; the i-th, or NULL. */
DAWN_API int dawn_profile_variants(const struct dawn_profile *profile,
                                   int node);
DAWN_API const struct dawn_node_variant *dawn_profile_variant(
    const struct dawn_profile *profile, int node, int i);
/* Has every node variants? Then the profile has one microbatch size, and is
 * planned by the additive rule. */
DAWN_API bool dawn_profile_additive(const struct dawn_profile *profile);

/* What a node's source calls it, for people and exports: "ReLU(inplace)". NULL:
 * nothing. Copied; returns DAWN_OK, DAWN_E_INVAL (no such node) or
 * DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_profile_set_label(struct dawn_profile *profile,
                                                 int node, const char *label,
                                                 struct dawn_error *err);
DAWN_API const char *dawn_profile_label(const struct dawn_profile *profile,
                                        int node);

/* The passes of the job that was profiled, by name, joined by commas: "ewc";
 * "" is none, as in a new profile. Plans are made for them. They are no part of
 * the digest. Returns DAWN_OK, or DAWN_E_INVAL: no such pass, passes that do
 * not go together, an additive profile.
 */
DAWN_API enum dawn_status dawn_profile_set_passes(struct dawn_profile *profile,
                                                  const char *passes,
                                                  struct dawn_error *err);
DAWN_API const char *dawn_profile_passes(const struct dawn_profile *profile);

/* Write as profile.yaml: to a temporary name, then renamed. The same profile
 * gives the same bytes. Returns DAWN_OK, DAWN_E_IO, DAWN_E_NUMERIC (a number
 * that is not finite) or DAWN_E_INVAL (some nodes have variants, others not).
 */
DAWN_API enum dawn_status dawn_profile_save(const struct dawn_profile *profile,
                                            const char *path,
                                            struct dawn_error *err);

/* Read a profile.yaml. Every failure names file and line.
 * Returns DAWN_OK, DAWN_E_IO, DAWN_E_FORMAT, DAWN_E_MISMATCH (the digest of the
 * graph in it is not the one it says) or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_profile_load(const char *path,
                                            struct dawn_profile **profile_p,
                                            struct dawn_error *err);

/* Copy a profile with its graph's nodes in another order: dawn_graph_reorder,
 * with the costs. The digest stays, and so does what dawn_profile_save writes.
 * Returns what dawn_graph_reorder does.
 */
DAWN_API enum dawn_status dawn_profile_reorder(
    const struct dawn_profile *profile, const int *order, int count,
    struct dawn_profile **profile_p, struct dawn_error *err);

/* xxh3 of the profile's content; what plans name */
DAWN_API uint64_t dawn_profile_digest(const struct dawn_profile *profile);

#ifdef __cplusplus
}
#endif

#endif
