/* SPDX-License-Identifier: Apache-2.0 */
/* What the ways to do fused attention share: the shape, and one call's memory.
 * Both ways work on one (sample, head) at a time, each by one thread.
 */
#ifndef DAWNI_DEVICE_HOST_ATTENTION_H
#define DAWNI_DEVICE_HOST_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

struct dawni_attention {
    int64_t samples, t, heads, size; /* size: of a head */
    bool causal;
    float scale; /* of the scores, 1 / sqrt(size) */
    int threads;
};

/* bf16 tensors as in op.h: q, k and v are `heads * size` columns apart. */
struct dawni_attention_io {
    const uint16_t *qkv;
    uint16_t *out;
    float *lse;
    /* backward only; there out and lse are read */
    const uint16_t *dout, *add; /* add: NULL or (b,T,3C), may be dqkv */
    uint16_t *dqkv;
    void *scratch;
};

/* By AMX tiles; only where dawni_amx_usable(). Scratch is for all threads. */
uint64_t dawni_attention_amx_scratch(const struct dawni_attention *a,
                                     bool backward);
void dawni_attention_amx_forward(const struct dawni_attention *a,
                                 const struct dawni_attention_io *io);
void dawni_attention_amx_backward(const struct dawni_attention *a,
                                  const struct dawni_attention_io *io);

#endif
