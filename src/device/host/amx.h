/* SPDX-License-Identifier: Apache-2.0 */
/* Products of bf16 matrices by AMX tiles (x86-64, Sapphire Rapids and later).
 *
 * oneDNN does not reach half of what the tiles can do on the shapes of a
 * transformer. Here operands are repacked on the fly, a part that fits the L2
 * cache at a time, so a weight is kept once, packed, for both directions,
 * and what follows a product (bias, addend, conversion) is done beside the
 * tiles' work. The result depends on shapes and threads only.
 */
#ifndef DAWNI_DEVICE_HOST_AMX_H
#define DAWNI_DEVICE_HOST_AMX_H

#include <stdbool.h>
#include <stdint.h>

/* Whether this processor and kernel let us use the tiles; asks once. False
 * while dawni_simd_limit is below AVX-512. */
bool dawni_amx_usable(void);

/* A weight w (n,k), f32 row-major, as packed bf16, past the caches: it is read
 * much later. The form is the one that w^T has as an operand of tiles; w is
 * made from it as it is needed. Bytes of it, and the making of it by all
 * threads.
 */
uint64_t dawni_amx_weight_bytes(int64_t n, int64_t k);
void dawni_amx_pack_weight(const float *w, int64_t n, int64_t k, void *packed,
                           int threads);

/* C (m,n) = A (m,k) B (k,n) [+ bias] [+ add]; A and C bf16, row-major, sums
 * f32. B is a packed weight: w^T where w is (n,k), or, turned, w where w is
 * (k,n).
 */
struct dawni_amx_product {
    int64_t m, n, k;
    const uint16_t *a, *add; /* add: (m,n), NULL: none; may be c itself */
    const void *b;
    bool turned;
    const float *bias; /* (n) or NULL */
    uint16_t *c;
    int threads;
    void *scratch;
};

uint64_t dawni_amx_scratch_bytes(const struct dawni_amx_product *p);
void dawni_amx_multiply(const struct dawni_amx_product *p);

/* C (m,n) f32 = or += A (m,k) B (k,n) with A stored as (k,m), for gradients of
 * weights: A^T is dY, B is X. sums (m), where wanted, = or += the sum of A over
 * k in order of k.
 */
struct dawni_amx_gradient {
    int64_t m, n, k;
    const uint16_t *a, *b;
    float *c, *sums; /* sums: NULL: unwanted */
    bool accumulate;
    int threads;
    void *scratch;
};

uint64_t dawni_amx_gradient_scratch_bytes(const struct dawni_amx_gradient *p);
void dawni_amx_gradient(const struct dawni_amx_gradient *p);

#endif
