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
    const int64_t *size; /* microbatch sizes profiled, ascending, >= 1 */
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

/* Write as profile.yaml: to a temporary name, then renamed. The same profile
 * gives the same bytes. Returns DAWN_OK or DAWN_E_IO.
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

/* xxh3 of the profile's content; what plans name */
DAWN_API uint64_t dawn_profile_digest(const struct dawn_profile *profile);

#ifdef __cplusplus
}
#endif

#endif
