/* SPDX-License-Identifier: Apache-2.0 */
/* The host device: memory, and which kernel belongs to which operator. */
#include "device/host/host.h"
#include "device/host/threads.h"

#include <dawnpiper/status.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct dawni_kernel_ops *const kernels[] = {
    &dawni_host_embedding,     &dawni_host_position,
    &dawni_host_layer_norm,    &dawni_host_rms_norm,
    &dawni_host_linear,        &dawni_host_gelu,
    &dawni_host_relu,          &dawni_host_scale,
    &dawni_host_attention,     &dawni_host_attend,
    &dawni_host_relative_bias, &dawni_host_attn_scores,
    &dawni_host_softmax,       &dawni_host_attn_values,
    &dawni_host_dropout,       &dawni_host_add,
    &dawni_host_gather,        &dawni_host_conv2d,
    &dawni_host_batch_norm,    &dawni_host_max_pool,
    &dawni_host_avg_pool,      &dawni_host_mean_pool,
    &dawni_host_concat,        &dawni_host_cross_entropy,
    &dawni_host_layer,
};

#define KERNELS (sizeof kernels / sizeof kernels[0])

/* Make every page present. The kernel does it in one call since Linux 5.14 and
 * says when memory lacks; before, writing does it. */
static bool touch_pages(char *memory, uint64_t bytes)
{
#ifdef MADV_POPULATE_WRITE
    if (madvise(memory, bytes, MADV_POPULATE_WRITE) == 0)
        return true;
    if (errno != EINVAL)
        return false;
#endif
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    for (uint64_t i = 0; i < bytes; i += page)
        ((volatile char *)memory)[i] = 0;
    return true;
}

static enum dawn_status host_alloc(uint64_t bytes, void **memory_p,
                                   struct dawn_error *err)
{
    uint64_t mapped = bytes ? bytes : 1;
    void *memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return dawn_fail(err, DAWN_E_NOMEM, "no %llu bytes of host memory: %s",
                         (unsigned long long)bytes, strerror(errno));
    madvise(memory, mapped, MADV_HUGEPAGE); /* a hint */
    if (!touch_pages(memory, mapped)) {
        enum dawn_status st =
            dawn_fail(err, DAWN_E_NOMEM, "no %llu bytes of host memory: %s",
                      (unsigned long long)bytes, strerror(errno));
        munmap(memory, mapped);
        return st;
    }
    *memory_p = memory;
    return DAWN_OK;
}

static void host_free(void *memory, uint64_t bytes)
{
    if (memory)
        munmap(memory, bytes ? bytes : 1);
}

static enum dawn_status host_kernel_create(const struct dawn_graph *graph,
                                           int node, int64_t microbatch,
                                           struct dawni_kernel **kernel_p,
                                           struct dawn_error *err)
{
    const struct dawn_node_desc *desc = dawn_graph_node(graph, node);
    if (!desc)
        return dawn_fail(err, DAWN_E_INVAL, "graph %s has no node %d",
                         dawn_graph_name(graph), node);
    for (size_t i = 0; i < KERNELS; i++)
        if (strcmp(kernels[i]->op, desc->op) == 0)
            return kernels[i]->create(graph, node, microbatch, kernel_p, err);
    return dawn_fail(err, DAWN_E_NOTSUP,
                     "node %s: the host device has no operator \"%s\"",
                     desc->name, desc->op);
}

const struct dawni_device_ops dawni_host_device = {
    .name = "host",
    .alloc = host_alloc,
    .free = host_free,
    .setup = dawni_host_setup,
    .kernel_create = host_kernel_create,
    .add = dawni_host_sum,
    .sum_squares = dawni_host_sum_squares,
    .adamw = dawni_host_adamw,
    .adamw_ewc = dawni_host_adamw_ewc,
    .add_squares = dawni_host_add_squares,
    .average = dawni_host_average,
    .find_nonfinite = dawni_host_find_nonfinite,
};
