/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix multiplication and convolution by oneDNN; nothing else includes its
 * headers.
 *
 * C (m,n) = scale * A (m,k) B (k,n) [+ bias (n)] [+ C], for each index of the
 * batch. A transposed operand is one with its strides exchanged. All memory is
 * the caller's: running allocates nothing here and uses the given scratch.
 * Thread-safety: an object is used by one thread at a time.
 */
#ifndef DAWNI_DEVICE_HOST_DNNL_H
#define DAWNI_DEVICE_HOST_DNNL_H

#include <dawnpiper/graph.h>

#define DAWNI_MATMUL_BATCH 2 /* most batch extents */

/* An operand: DAWN_F32 or DAWN_BF16; strides in elements. */
struct dawni_mat {
    enum dawn_dtype dtype;
    int64_t batch_stride[DAWNI_MATMUL_BATCH];
    int64_t row, column;
};

struct dawni_matmul_desc {
    int batches; /* batch extents in use, 0: a plain product */
    int64_t batch[DAWNI_MATMUL_BATCH];
    int64_t m, n, k;
    struct dawni_mat a, b, c;
    bool scaled;
    float scale;     /* where scaled */
    bool bias;       /* an f32 vector (n) is added; not with batches */
    bool accumulate; /* C is added to, not overwritten */
};

struct dawni_matmul;

/* Prepare a product. The result is the caller's to destroy.
 *
 *   what  names it in error texts; a literal
 *
 * Returns DAWN_OK, DAWN_E_NOMEM, DAWN_E_NOTSUP (oneDNN has no code for it on
 * this processor) or DAWN_E_DEVICE.
 */
enum dawn_status dawni_matmul_create(const struct dawni_matmul_desc *desc,
                                     const char *what,
                                     struct dawni_matmul **matmul_p,
                                     struct dawn_error *err);
void dawni_matmul_destroy(struct dawni_matmul *matmul); /* takes NULL */

/* Bytes of scratch that a run needs. */
uint64_t dawni_matmul_scratch_bytes(const struct dawni_matmul *matmul);

/* One run's memory; bias is NULL where the product has none. */
struct dawni_matmul_args {
    const void *a, *b;
    const float *bias;
    void *c;
    void *scratch; /* 64-byte aligned */
};

/* Run it and wait for the end. Returns DAWN_OK or DAWN_E_DEVICE. */
enum dawn_status dawni_matmul_run(struct dawni_matmul *matmul,
                                  const struct dawni_matmul_args *args,
                                  struct dawn_error *err);

/* A convolution of bf16 images, channels last: y (b,out_h,out_w,n) from x
 * (b,h,w,c), or, backward, the gradient of x from that of y. */
struct dawni_conv_desc {
    int64_t b, h, w, c, out_h, out_w, n;
    int64_t filter_h, filter_w, stride, pad_h, pad_w;
    bool backward;
};

struct dawni_conv;

/* As dawni_matmul_create. */
enum dawn_status dawni_conv_create(const struct dawni_conv_desc *desc,
                                   const char *what, struct dawni_conv **conv_p,
                                   struct dawn_error *err);
void dawni_conv_destroy(struct dawni_conv *conv); /* takes NULL */

/* Bytes of the filter in the layout that a run wants, and of its scratch. */
uint64_t dawni_conv_filter_bytes(const struct dawni_conv *conv);
uint64_t dawni_conv_scratch_bytes(const struct dawni_conv *conv);

/* A filter (n,filter_h,filter_w,c), f32, into that layout. */
enum dawn_status dawni_conv_pack(struct dawni_conv *conv, const float *filter,
                                 void *packed, struct dawn_error *err);

struct dawni_conv_args {
    const void *from;   /* x, or the gradient of y */
    const void *filter; /* packed */
    void *to;
    void *scratch; /* 64-byte aligned */
};

/* Run it and wait for the end. Returns DAWN_OK or DAWN_E_DEVICE. */
enum dawn_status dawni_conv_run(struct dawni_conv *conv,
                                const struct dawni_conv_args *args,
                                struct dawn_error *err);

#endif
