/* SPDX-License-Identifier: Apache-2.0 */
/* Write a profile of a made-up model, for dawn-plan.sh. */
#include "rig.h"
#include <stdio.h>

int main(int argc, char **argv)
{
    struct rig_opts o = {.nodes = 30, .seed = 1, .params = true};
    struct dawn_profile *profile = argc == 2 ? rig_profile(&o) : NULL;
    struct dawn_error err = {0};

    if (!profile)
        return 2;
    if (dawn_profile_save(profile, argv[1], &err))
        fprintf(stderr, "make_profile: %s\n", err.text);
    dawn_profile_destroy(profile);
    return err.status ? 1 : 0;
}
