/* SPDX-License-Identifier: Apache-2.0 */
/* What a device offers: memory, a kernel for each operator, the optimizer's
 * arithmetic. One table of functions a device; host is the reference.
 *
 * A kernel is one node at one microbatch size: created once, before the first
 * step, with everything that can be prepared. Its functions allocate nothing,
 * use args->scratch only, and give the same bytes for the same input bytes
 * (thread count fixed), whatever the addresses.
 */
#ifndef DAWNI_DEVICE_KERNEL_H
#define DAWNI_DEVICE_KERNEL_H

#include <dawnpiper/graph.h>
#include <dawnpiper/op.h>

enum dawni_phase { DAWNI_F, DAWNI_B, DAWNI_W, DAWNI_PHASES };

struct dawni_kernel;

struct dawni_kernel_ops {
    const char *op; /* operator name in the graph */
    /* Allocate a kernel for the node at that microbatch size and fill
     * scratch_bytes and prepared_bytes. */
    enum dawn_status (*create)(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err);
    /* Fill `prepared` (compute copies of the parameters: bf16, packed) from the
     * f32 masters. Once per optimizer step. NULL when prepared_bytes is 0. */
    enum dawn_status (*prepare)(struct dawni_kernel *kernel,
                                const float *const *param, void *prepared,
                                struct dawn_error *err);
    enum dawn_status (*forward)(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err);
    /* B; NULL where never called */
    enum dawn_status (*backward_input)(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err);
    /* W; NULL where the op has no parameters */
    enum dawn_status (*backward_param)(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err);
    /* cross_entropy, after forward with the same args: add the loss of each of
     * the first `samples` samples to *sum, one after another. NULL for all
     * other operators. */
    void (*add_losses)(const struct dawni_kernel *kernel,
                       const struct dawn_op_args *args, int64_t samples,
                       double *sum);
    void (*destroy)(struct dawni_kernel *kernel);
};

struct dawni_kernel { /* first member of each op's own struct */
    const struct dawni_kernel_ops *ops;
    uint64_t scratch_bytes[DAWNI_PHASES];
    uint64_t prepared_bytes;
};

/* AdamW (Loshchilov and Hutter 2019), decoupled weight decay. */
struct dawni_adamw {
    float lr, beta1, beta2, eps, weight_decay;
    float grad_scale;   /* gradients are multiplied by it first: clipping */
    float bias1, bias2; /* 1 - beta^t */
    float *to;          /* new values go here; NULL: in place */
};

/* What an update reads and writes. */
struct dawni_update {
    float *p, *m, *v;
    const float *g;
};

/* Elastic weight consolidation (Kirkpatrick et al. 2017) of a parameter:
 * lambda / 2 * sum of F (p - anchor)^2 beside the task's loss. */
struct dawni_ewc {
    const void *fisher; /* F: f32, or bf16 times scale */
    enum dawn_dtype dtype;
    float scale;
    const float *anchor;
    float lambda;
    /* false: lambda F (p - anchor) is added to the gradient. True: AdamW's step
     * is followed by the penalty's proximal step: p - anchor is divided by
     * 1 + lr lambda F */
    bool proximal;
};

struct dawni_device_ops {
    const char *name; /* "host", "cuda" */
    /* Memory of the arena: 64-byte aligned, zeroed, pages touched. */
    enum dawn_status (*alloc)(uint64_t bytes, void **memory_p,
                              struct dawn_error *err);
    void (*free)(void *memory, uint64_t bytes);
    /* Set the threads of this rank and pin them: ranks on one node share its
     * cores by local rank. */
    enum dawn_status (*setup)(int threads, int local_rank, int local_ranks,
                              struct dawn_error *err);
    enum dawn_status (*kernel_create)(const struct dawn_graph *graph, int node,
                                      int64_t microbatch,
                                      struct dawni_kernel **kernel_p,
                                      struct dawn_error *err);
    /* out = a + b, n elements, f32 or bf16; out may be a or b */
    void (*add)(void *out, const void *a, const void *b, enum dawn_dtype dtype,
                int64_t n);
    /* sum of squares in f64, in a fixed order */
    double (*sum_squares)(const float *x, int64_t n);
    void (*adamw)(const struct dawni_adamw *o, float *p, float *m, float *v,
                  const float *g, int64_t n);
    /* adamw with EWC, in the same pass over memory. Adds to sums, for the p
     * before: F (p - anchor)^2, (F (p - anchor))^2; in f64, in a fixed order */
    void (*adamw_ewc)(const struct dawni_adamw *o, const struct dawni_ewc *w,
                      const struct dawni_update *at, int64_t n, double sums[2]);
    /* sum += g^2, f32; the sum of all g^2 in f64, in a fixed order */
    double (*add_squares)(float *sum, const float *g, int64_t n);
    /* p = (1 - share) * p + share * (sum / count): of parameters that are
     * averages */
    void (*average)(float *p, const float *sum, int64_t n, double share,
                    int count);
    /* index of the first element that is not finite, or -1 */
    int64_t (*find_nonfinite)(const void *x, enum dawn_dtype dtype, int64_t n);
};

extern const struct dawni_device_ops dawni_host_device;

void dawni_kernel_destroy(struct dawni_kernel *kernel); /* takes NULL */

#endif
