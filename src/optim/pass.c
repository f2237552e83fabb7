/* SPDX-License-Identifier: Apache-2.0 */
#include "optim/pass.h"

#include <string.h>

static const struct dawni_pass_ops *const passes[] = {
    &dawni_pass_ewc,
    &dawni_pass_ewc_bf16,
    &dawni_pass_fisher,
    &dawni_pass_fisher_mean,
};

const struct dawni_pass_ops *dawni_pass_ops_find(const char *name)
{
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++)
        if (strcmp(passes[i]->name, name) == 0)
            return passes[i];
    return NULL;
}
