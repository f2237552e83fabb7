/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over long vectors, and the search for what is not a number. */
#include "device/host/host.h"
#include "device/host/simd.h"

#define BLOCK 16384 /* elements */
#define PARTS 256   /* blocks summed at a time */

struct squares_task {
    const float *x;
    double *part; /* by block */
};

/* Four quarters of the block at once: one sum would wait for its own additions.
 */
DAWNI_INLINE void squares_body(const struct squares_task *t, int64_t first,
                               int64_t last, bool bf16)
{
    (void)bf16;
    const int64_t n = (last - first) / 4;
    const float *x = t->x + first;
    double a = 0, b = 0, c = 0, d = 0;
#pragma omp simd reduction(+ : a, b, c, d)
    for (int64_t i = 0; i < n; i++) {
        a += (double)x[i] * (double)x[i];
        b += (double)x[i + n] * (double)x[i + n];
        c += (double)x[i + 2 * n] * (double)x[i + 2 * n];
        d += (double)x[i + 3 * n] * (double)x[i + 3 * n];
    }
    for (int64_t i = 4 * n; i < last - first; i++)
        a += (double)x[i] * (double)x[i];
    t->part[first / BLOCK] = a + b + (c + d);
}

DAWNI_RANGE(squares, squares_task, DAWN_F32)

double dawni_host_sum_squares(const float *x, int64_t n)
{
    double part[PARTS], sum = 0;
    for (int64_t done = 0; done < n; done += (int64_t)BLOCK * PARTS) {
        int64_t left = n - done;
        int64_t now =
            left < (int64_t)BLOCK * PARTS ? left : (int64_t)BLOCK * PARTS;
        dawni_host_parallel(squares, &(struct squares_task){x + done, part},
                            now, BLOCK);
        for (int64_t i = 0; i < (now + BLOCK - 1) / BLOCK; i++)
            sum += part[i];
    }
    return sum;
}

struct add_squares_task {
    float *sum;
    const float *g;
    double *part; /* by block */
};

DAWNI_INLINE void add_squares_body(const struct add_squares_task *t,
                                   int64_t first, int64_t last, bool bf16)
{
    (void)bf16;
    float *sum = t->sum;
    const float *g = t->g;
    double all = 0;
#pragma omp simd reduction(+ : all)
    for (int64_t i = first; i < last; i++) {
        sum[i] += g[i] * g[i];
        all += (double)g[i] * (double)g[i];
    }
    t->part[first / BLOCK] = all;
}

DAWNI_RANGE(add_squares, add_squares_task, DAWN_F32)

double dawni_host_add_squares(float *sum, const float *g, int64_t n)
{
    const int64_t most = (int64_t)BLOCK * PARTS;
    double part[PARTS], all = 0;
    for (int64_t done = 0; done < n; done += most) {
        int64_t now = n - done < most ? n - done : most;
        struct add_squares_task task = {sum + done, g + done, part};
        dawni_host_parallel(add_squares, &task, now, BLOCK);
        for (int64_t i = 0; i < (now + BLOCK - 1) / BLOCK; i++)
            all += part[i];
    }
    return all;
}

struct finite_task {
    const void *x;
    enum dawn_dtype dtype;
    int64_t *found; /* the lowest index so far */
};

DAWNI_INLINE bool is_finite_at(const void *x, int64_t i, bool bf16)
{
    uint32_t u = dawni_float_bits(dawni_get(x, i, bf16));
    return (u & 0x7f800000) != 0x7f800000;
}

static void keep_lowest(int64_t *found, int64_t i)
{
    int64_t seen = __atomic_load_n(found, __ATOMIC_RELAXED);
    while (i < seen &&
           !__atomic_compare_exchange_n(found, &seen, i, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

DAWNI_INLINE void scan_body(const struct finite_task *t, int64_t first,
                            int64_t last, bool bf16)
{
    const void *x = t->x;
    uint32_t bad = 0;
#pragma omp simd reduction(+ : bad)
    for (int64_t i = first; i < last; i++)
        bad += !is_finite_at(x, i, bf16);
    for (int64_t i = first; bad && i < last; i++)
        if (!is_finite_at(x, i, bf16)) {
            keep_lowest(t->found, i);
            return;
        }
}

DAWNI_RANGE(scan, finite_task, t->dtype)

int64_t dawni_host_find_nonfinite(const void *x, enum dawn_dtype dtype,
                                  int64_t n)
{
    if (dtype != DAWN_F32 && dtype != DAWN_BF16)
        return -1;
    int64_t found = INT64_MAX;
    dawni_host_parallel(scan, &(struct finite_task){x, dtype, &found}, n,
                        BLOCK);
    return found < INT64_MAX ? found : -1;
}
