/* SPDX-License-Identifier: Apache-2.0 */
/* --hostfile: the hosts of the ranks, in the order of ranks. A device that
 * dawn-profile measured is called HOST:NUMBER; any other name is taken for a
 * host's.
 */
#include "report.h"
#include <stdio.h>
#include <string.h>

static enum dawn_status print_hosts(const struct report *r, FILE *file,
                                    struct dawn_error *err)
{
    for (int rank = 0; rank < dawn_plan_info(r->plan)->ranks; rank++) {
        const struct dawn_machine_device *d = report_device(r, rank);
        if (!d || !*d->name)
            return dawn_fail(err, DAWN_E_INVAL,
                             "--hostfile: the device of rank %d has no name",
                             rank);
        fprintf(file, "%.*s\n", (int)strcspn(d->name, ":"), d->name);
    }
    return DAWN_OK;
}

enum dawn_status report_hostfile(const struct report *r, const char *path,
                                 struct dawn_error *err)
{
    FILE *file = fopen(path, "w");
    enum dawn_status st;

    if (!file)
        return dawn_fail(err, DAWN_E_IO, "%s: cannot write it", path);
    st = print_hosts(r, file, err);
    bool whole = !ferror(file);
    if ((fclose(file) || !whole) && !st)
        st = dawn_fail(err, DAWN_E_IO, "%s: cannot write it", path);
    if (st)
        remove(path);
    return st;
}
