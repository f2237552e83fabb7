/* SPDX-License-Identifier: Apache-2.0 */
/* What the host kernels share: making one, sizes, running over ranges. */
#include "device/host/host.h"

#include <omp.h>
#include <stdlib.h>

enum dawn_status dawni_host_kernel_alloc(size_t bytes,
                                         const struct dawni_kernel_ops *ops,
                                         void *kernel_p, struct dawn_error *err)
{
    struct dawni_kernel *kernel = calloc(1, bytes);
    if (!kernel)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a %s kernel",
                         ops->op);
    kernel->ops = ops;
    *(void **)kernel_p = kernel;
    return DAWN_OK;
}

void dawni_host_kernel_free(struct dawni_kernel *kernel)
{
    free(kernel);
}

const struct dawn_tensor_desc *dawni_host_input(const struct dawn_graph *graph,
                                                int node, int i)
{
    return dawn_graph_tensor(graph, dawn_graph_node(graph, node)->input[i]);
}

const struct dawn_tensor_desc *dawni_host_output(const struct dawn_graph *graph,
                                                 int node, int i)
{
    return dawn_graph_tensor(graph, dawn_graph_output(graph, node, i));
}

int64_t dawni_host_elements(const struct dawn_tensor_desc *tensor)
{
    int64_t n = 1;
    for (int i = 0; i < tensor->dims; i++)
        n *= tensor->shape[i];
    return n;
}

int64_t dawni_host_last_extent(const struct dawn_tensor_desc *tensor)
{
    return tensor->dims ? tensor->shape[tensor->dims - 1] : 1;
}

static void run_block(dawni_range_fn fn, const void *task, int64_t n,
                      int64_t first, int64_t block)
{
    fn(task, first, first + block < n ? first + block : n);
}

void dawni_host_parallel(dawni_range_fn fn, const void *task, int64_t n,
                         int64_t block)
{
    int64_t blocks = (n + block - 1) / block;
    if (blocks <= 1 || omp_get_max_threads() == 1) {
        for (int64_t i = 0; i < blocks; i++)
            run_block(fn, task, n, i * block, block);
        return;
    }
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < blocks; i++)
        run_block(fn, task, n, i * block, block);
}
