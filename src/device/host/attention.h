/* SPDX-License-Identifier: Apache-2.0 */
/* What the ways to do fused attention share: the shape, and one call's memory.
 * Both ways work on one (sample, head) at a time, each by one thread.
 */
#ifndef DAWNI_DEVICE_HOST_ATTENTION_H
#define DAWNI_DEVICE_HOST_ATTENTION_H

#include <dawnpiper/graph.h>

struct dawni_attention {
    int64_t samples, queries, keys, heads, size; /* size: of a head */
    int64_t row; /* elements between two places of q, of k and of v */
    enum dawn_dtype dtype;
    bool causal; /* queries == keys then */
    bool biased;
    float scale; /* of the scores */
    int threads;
};

/* How many differences of place there are between queries and keys. */
static inline int64_t dawni_attention_distances(const struct dawni_attention *a)
{
    return a->queries + a->keys - 1;
}

struct dawni_attention_io {
    const void *in[3]; /* q, k, v; their samples lie one behind the other */
    const float *bias; /* (H,distances), as in op.h; where biased */
    void *out;         /* (b,queries,C) */
    float *lse;
    /* backward only; there out and lse are read */
    const void *dout, *add[3]; /* add: NULL, or as in; may be grad */
    void *grad[3];             /* NULL: unwanted */
    float *dbias; /* (b,H,distances), to be added up; NULL: unwanted */
    void *scratch;
};

/* By AMX tiles, bf16; only where dawni_amx_usable(). Scratch is for all
 * threads. */
uint64_t dawni_attention_amx_scratch(const struct dawni_attention *a,
                                     bool backward);
void dawni_attention_amx_forward(const struct dawni_attention *a,
                                 const struct dawni_attention_io *io);
void dawni_attention_amx_backward(const struct dawni_attention *a,
                                  const struct dawni_attention_io *io);

/* By vectors, in f32, on any processor. */
uint64_t dawni_attention_plain_scratch(const struct dawni_attention *a,
                                       bool backward);
void dawni_attention_plain_forward(const struct dawni_attention *a,
                                   const struct dawni_attention_io *io);
void dawni_attention_plain_backward(const struct dawni_attention *a,
                                    const struct dawni_attention_io *io);

#endif
