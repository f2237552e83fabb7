/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels of all devices. */
#include "device/kernel.h"

void dawni_kernel_destroy(struct dawni_kernel *kernel)
{
    if (kernel)
        kernel->ops->destroy(kernel);
}
