/* SPDX-License-Identifier: Apache-2.0 */
/* Masked language modelling (Devlin et al., 2019, section 3.1): of the tokens
 * chosen 80% are replaced by the mask, 10% by any token, 10% are left.
 */
#include "common/random.h"

#include <dawnpiper/data.h>

/* Sets random numbers for masks apart from those of the same seed for others.
 */
#define MASK_KEY UINT64_C(0x6d61736b5f777778)

static int32_t replaced(const struct dawn_tokens_mask *m,
                        struct dawni_u32x4 bits, int32_t token)
{
    double u = dawni_uniform(bits.v[2]);

    if (u < 0.8)
        return m->token;
    if (u >= 0.9)
        return token;
    return (int32_t)((uint64_t)bits.v[3] * (uint64_t)m->vocab >> 32);
}

/* Selection sampling: every set of places is as likely as any other. */
static void mask_row(const struct dawn_tokens_mask *m, uint64_t key,
                     uint64_t step, uint64_t sample, int64_t row)
{
    int32_t *tokens = m->tokens ? m->tokens + row * m->context : NULL;
    int64_t left = m->masked, to = row * m->masked;

    for (int64_t t = 0; left > 0; t++) {
        struct dawni_u32x4 bits = dawni_philox(
            key, step, sample * (uint64_t)m->context + (uint64_t)t);
        double chance = (double)left / (double)(m->context - t);
        if (dawni_uniform(bits.v[0]) >= chance)
            continue;
        if (m->places)
            m->places[to] = (int32_t)t;
        if (m->targets)
            m->targets[to] = tokens[t];
        if (tokens)
            tokens[t] = replaced(m, bits, tokens[t]);
        to++;
        left--;
    }
}

enum dawn_status dawn_tokens_mask(uint64_t seed, uint64_t step, uint64_t sample,
                                  const struct dawn_tokens_mask *m,
                                  struct dawn_error *err)
{
    if (m->samples < 1 || m->masked < 1 || m->masked > m->context)
        return dawn_fail(
            err, DAWN_E_INVAL, "%lld masked of %lld tokens in %lld samples",
            (long long)m->masked, (long long)m->context, (long long)m->samples);
    if (m->vocab < 1 || m->token < 0 || m->token >= m->vocab)
        return dawn_fail(err, DAWN_E_INVAL,
                         "the mask is token %d, the vocabulary has %d",
                         (int)m->token, (int)m->vocab);
    if (m->targets && !m->tokens)
        return dawn_fail(err, DAWN_E_INVAL, "targets without tokens");
    for (int64_t row = 0; row < m->samples; row++)
        mask_row(m, seed ^ MASK_KEY, step, sample + (uint64_t)row, row);
    return DAWN_OK;
}
