/* SPDX-License-Identifier: Apache-2.0 */
/* Which devices are left. In any order it is a number with a digit for each
 * type: how many of it are left.
 */
#include "partition/devices.h"
#include "common/array.h"

bool dawni_devices_init(struct dawni_devices *d,
                        const struct dawni_instance *in)
{
    uint64_t radix = 1;

    d->in = in;
    d->complete = true;
    d->radix = dawni_calloc(in->types, sizeof *d->radix);
    d->count = dawni_calloc(in->types, sizeof *d->count);
    if (!d->radix || !d->count)
        return false;
    for (int i = 0; i < in->l; i++)
        d->count[in->type_of[i]]++;
    d->placement = in->types == 1               ? DAWNI_PLACE_ALIKE
                   : in->problem->any_placement ? DAWNI_PLACE_ANY
                                                : DAWNI_PLACE_ORDER;
    for (int i = 0; i < in->types; i++) {
        d->radix[i] = radix;
        if (radix > UINT64_MAX / ((uint64_t)d->count[i] + 1)) {
            d->placement = DAWNI_PLACE_ORDER; /* too many to tell apart */
            d->complete = false;
            return true;
        }
        radix *= (uint64_t)d->count[i] + 1;
    }
    return true;
}

void dawni_devices_clear(struct dawni_devices *d)
{
    free(d->radix);
    free(d->count);
}

uint64_t dawni_devices_all(const struct dawni_devices *d)
{
    uint64_t all = 0;

    if (d->placement != DAWNI_PLACE_ANY)
        return (uint64_t)d->in->l;
    for (int i = 0; i < d->in->types; i++)
        all += d->radix[i] * (uint64_t)d->count[i];
    return all;
}

static int choices_in_order(const struct dawni_devices *d, uint64_t left,
                            bool all, struct dawni_device_choice *choice)
{
    int count = 0;

    for (int i = (int)left - 1; i >= 0; i--) {
        int type = d->in->type_of[i], j = 0;
        while (j < count && choice[j].type != type)
            j++;
        if (j == count) /* the last one of its type leaves most */
            choice[count++] =
                (struct dawni_device_choice){i, type, (uint64_t)i};
        if (all)
            break;
    }
    return count;
}

int dawni_devices_choices(const struct dawni_devices *d, uint64_t left,
                          bool all, struct dawni_device_choice *choice)
{
    int count = 0;

    if (d->placement == DAWNI_PLACE_ORDER)
        return choices_in_order(d, left, all, choice);
    if (d->placement == DAWNI_PLACE_ALIKE) {
        choice[0] = (struct dawni_device_choice){0, 0, left - 1};
        return left > 0;
    }
    for (int i = 0; i < d->in->types; i++)
        if (left / d->radix[i] % ((uint64_t)d->count[i] + 1))
            choice[count++] =
                (struct dawni_device_choice){i, i, left - d->radix[i]};
    return count;
}

void dawni_devices_assign(const struct dawni_devices *d, int stages,
                          int *device)
{
    if (d->placement == DAWNI_PLACE_ORDER)
        return;
    for (int x = 0; x < stages; x++) {
        int type = device[x], earlier = 0, i = 0;
        if (d->placement == DAWNI_PLACE_ALIKE) {
            device[x] = x;
            continue;
        }
        for (int w = 0; w < x; w++)
            earlier += d->in->type_of[device[w]] == type;
        while (d->in->type_of[i] != type || earlier--)
            i++;
        device[x] = i;
    }
}
