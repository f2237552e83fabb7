/* SPDX-License-Identifier: Apache-2.0 */
/* A machine that a caller made has figures of no range until here; those of
 * machine.yaml were checked when it was read.
 */
#include "common/ranges.h"
#include "planner/planner.h"

struct figure {
    const char *name;
    double value, lo, hi;
};

static enum dawn_status check(const char *what, const struct figure *figure,
                              int figures, struct dawn_error *err)
{
    for (int i = 0; i < figures; i++)
        if (!(figure[i].value >= figure[i].lo &&
              figure[i].value <= figure[i].hi))
            return dawn_fail(
                err, DAWN_E_INVAL, "%s: %s is %.6g, must be %.6g to %.6g", what,
                figure[i].name, figure[i].value, figure[i].lo, figure[i].hi);
    return DAWN_OK;
}

static enum dawn_status check_tier(const struct dawn_machine_tier *t,
                                   struct dawn_error *err)
{
    const struct figure figure[] = {
        {"read_bytes_per_s", t->read_bytes_per_s, DAWNI_LEAST_BYTES_PER_S,
         DAWNI_MOST_BYTES_PER_S},
        {"write_bytes_per_s", t->write_bytes_per_s, DAWNI_LEAST_BYTES_PER_S,
         DAWNI_MOST_BYTES_PER_S},
        {"latency_ns", t->latency_ns, 0, DAWNI_MOST_NS},
        {"compute_ns_per_byte", t->compute_ns_per_byte, 0,
         DAWNI_MOST_NS_PER_BYTE},
    };

    return check(t->kind, figure, 4, err);
}

static enum dawn_status check_link(const struct dawn_machine *machine, int from,
                                   int to, struct dawn_error *err)
{
    const struct dawn_machine_link *l = dawn_machine_link(machine, from, to);
    const struct figure figure[] = {
        {"latency_ns", l->latency_ns, 0, DAWNI_MOST_NS},
        {"bytes_per_s", l->bytes_per_s, DAWNI_LEAST_BYTES_PER_S,
         DAWNI_MOST_BYTES_PER_S},
    };
    char what[48];

    snprintf(what, sizeof what, "link from %d to %d", from, to);
    return check(what, figure, 2, err);
}

enum dawn_status dawni_check_machine(const struct dawn_machine *machine,
                                     struct dawn_error *err)
{
    int devices = dawn_machine_devices(machine);
    enum dawn_status st = DAWN_OK;

    for (int i = 0; i < devices && !st; i++) {
        const struct dawn_machine_device *d = dawn_machine_device(machine, i);
        const struct figure speed = {"speed", d->speed, DAWNI_LEAST_SPEED,
                                     DAWNI_MOST_SPEED};
        char what[sizeof d->name + 8];
        snprintf(what, sizeof what, "device %s", d->name);
        st = check(what, &speed, 1, err);
        for (int k = 0; k < devices && !st; k++)
            st = check_link(machine, i, k, err);
    }
    for (int i = 0; i < dawn_machine_tiers(machine) && !st; i++)
        st = check_tier(dawn_machine_tier(machine, i), err);
    return st;
}
