/* SPDX-License-Identifier: Apache-2.0 */
/* --hostfile: the hosts of the ranks, in the order of ranks. A device that
 * dawn-profile measured is called HOST:NUMBER; any other name is taken for a
 * host's.
 */
#include "report.h"
#include <stdio.h>
#include <string.h>

enum dawn_status report_hostfile(const struct report *r, const char *path,
                                 struct dawn_error *err)
{
    int ranks = dawn_plan_info(r->plan)->ranks;
    const struct dawn_machine_device *d;

    for (int rank = 0; rank < ranks; rank++)
        if (!(d = report_device(r, rank)) || !*d->name)
            return dawn_fail(err, DAWN_E_INVAL,
                             "--hostfile: the device of rank %d has no name",
                             rank);
    FILE *file = fopen(path, "w");
    for (int rank = 0; rank < ranks && file; rank++) {
        d = report_device(r, rank);
        fprintf(file, "%.*s\n", (int)strcspn(d->name, ":"), d->name);
    }
    bool whole = file && !ferror(file);
    if (file && fclose(file))
        whole = false;
    return whole ? DAWN_OK
                 : dawn_fail(err, DAWN_E_IO, "%s: cannot write it", path);
}
