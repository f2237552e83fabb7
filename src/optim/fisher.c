/* SPDX-License-Identifier: Apache-2.0 */
/* The diagonal empirical Fisher information: squares of gradients, summed in
 * f32. Of each sample's gradient alone; or of the mean over a step's samples,
 * which is another quantity, to compare with those who take that for it.
 */
#include "optim/pass.h"

#include <stdlib.h>

static enum dawn_status create(const struct dawni_pass_ops *ops, int weights,
                               struct dawni_pass **pass_p,
                               struct dawn_error *err)
{
    (void)weights;
    struct dawni_pass *pass = calloc(1, sizeof *pass);

    if (!pass)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a pass");
    pass->ops = ops;
    *pass_p = pass;
    return DAWN_OK;
}

static double observe(struct dawni_pass *pass,
                      const struct dawni_device_ops *device,
                      const struct dawni_pass_weight *w)
{
    (void)pass;
    return device->add_squares(w->array[0], w->at.g, w->elements);
}

static void destroy(struct dawni_pass *pass)
{
    free(pass);
}

const struct dawni_pass_ops dawni_pass_fisher = {
    .name = "fisher",
    .create = create,
    .observe = observe,
    .destroy = destroy,
};

const struct dawni_pass_ops dawni_pass_fisher_mean = {
    .name = "fisher-of-batch-mean",
    .create = create,
    .observe = observe,
    .destroy = destroy,
};
