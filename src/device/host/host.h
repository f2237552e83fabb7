/* SPDX-License-Identifier: Apache-2.0 */
/* The host device: its kernels, one table an operator, and what they share. */
#ifndef DAWNI_DEVICE_HOST_HOST_H
#define DAWNI_DEVICE_HOST_HOST_H

#include "device/kernel.h"

extern const struct dawni_kernel_ops dawni_host_embedding;
extern const struct dawni_kernel_ops dawni_host_position;
extern const struct dawni_kernel_ops dawni_host_layer_norm;
extern const struct dawni_kernel_ops dawni_host_rms_norm;
extern const struct dawni_kernel_ops dawni_host_linear;
extern const struct dawni_kernel_ops dawni_host_gelu;
extern const struct dawni_kernel_ops dawni_host_relu;
extern const struct dawni_kernel_ops dawni_host_scale;
extern const struct dawni_kernel_ops dawni_host_attention;
extern const struct dawni_kernel_ops dawni_host_attend;
extern const struct dawni_kernel_ops dawni_host_relative_bias;
extern const struct dawni_kernel_ops dawni_host_attn_scores;
extern const struct dawni_kernel_ops dawni_host_softmax;
extern const struct dawni_kernel_ops dawni_host_attn_values;
extern const struct dawni_kernel_ops dawni_host_dropout;
extern const struct dawni_kernel_ops dawni_host_add;
extern const struct dawni_kernel_ops dawni_host_gather;
extern const struct dawni_kernel_ops dawni_host_conv2d;
extern const struct dawni_kernel_ops dawni_host_batch_norm;
extern const struct dawni_kernel_ops dawni_host_max_pool;
extern const struct dawni_kernel_ops dawni_host_avg_pool;
extern const struct dawni_kernel_ops dawni_host_mean_pool;
extern const struct dawni_kernel_ops dawni_host_concat;
extern const struct dawni_kernel_ops dawni_host_cross_entropy;
extern const struct dawni_kernel_ops dawni_host_layer; /* user callbacks */

/* A zeroed kernel of `bytes` bytes (a struct whose first member is a struct
 * dawni_kernel) with its table set; freed by dawni_host_kernel_free, which
 * suits kernels that own nothing else as their destroy function.
 * Returns DAWN_OK or DAWN_E_NOMEM.
 */
enum dawn_status dawni_host_kernel_alloc(size_t bytes,
                                         const struct dawni_kernel_ops *ops,
                                         void *kernel_p,
                                         struct dawn_error *err);
void dawni_host_kernel_free(struct dawni_kernel *kernel);

/* Input or output i of a node. */
const struct dawn_tensor_desc *dawni_host_input(const struct dawn_graph *graph,
                                                int node, int i);
const struct dawn_tensor_desc *dawni_host_output(const struct dawn_graph *graph,
                                                 int node, int i);

/* Elements of one sample of a tensor, and its last extent (1 for a scalar). */
int64_t dawni_host_elements(const struct dawn_tensor_desc *tensor);
int64_t dawni_host_last_extent(const struct dawn_tensor_desc *tensor);

/* The kernel of a linear, y (m,n) = x (m,k) w (n,k)^T + bias, for operators
 * that are made of products; its create, but for sizes given. */
struct dawni_host_linear_opts {
    int64_t m, n, k;
    enum dawn_dtype dtype;
    bool bias;
};
enum dawn_status dawni_host_linear_create(
    const struct dawni_host_linear_opts *opts, struct dawni_kernel **kernel_p,
    struct dawn_error *err);

/* Work on indices [first, last) of a task. */
typedef void (*dawni_range_fn)(const void *task, int64_t first, int64_t last);

/* Run fn over [0, n) with this rank's threads, in blocks of `block` indices
 * (the last may be shorter). Which thread does which block depends on the
 * thread count; the blocks do not, so sums kept by block are reproducible.
 */
void dawni_host_parallel(dawni_range_fn fn, const void *task, int64_t n,
                         int64_t block);

/* The optimizer's arithmetic; the contracts are in device/kernel.h. */
void dawni_host_adamw(const struct dawni_adamw *o, float *p, float *m, float *v,
                      const float *g, int64_t n);
void dawni_host_adamw_ewc(const struct dawni_adamw *o,
                          const struct dawni_ewc *w,
                          const struct dawni_update *at, int64_t n,
                          double sums[2]);
double dawni_host_add_squares(float *sum, const float *g, int64_t n);
void dawni_host_average(float *p, const float *sum, int64_t n, double share,
                        int count);
void dawni_host_sum(void *out, const void *a, const void *b,
                    enum dawn_dtype dtype, int64_t n);
double dawni_host_sum_squares(const float *x, int64_t n);
int64_t dawni_host_find_nonfinite(const void *x, enum dawn_dtype dtype,
                                  int64_t n);

#endif
