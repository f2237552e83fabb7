/* SPDX-License-Identifier: Apache-2.0 */
/* Which cap would do where nothing fits: looking for it, and saying it. */
#include "report.h"
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* "33MiB", as --memory takes it, to the byte. */
static const char *cap_text(uint64_t bytes, char *text, size_t room)
{
    bool mib = bytes % (1 << 20) == 0, kib = bytes % (1 << 10) == 0;

    snprintf(text, room, "%" PRIu64 "%s",
             bytes >> (mib   ? 20
                       : kib ? 10
                             : 0),
             mib   ? "MiB"
             : kib ? "KiB"
                   : " bytes");
    return text;
}

static void show(void *user, const struct dawn_planner_nofit *now)
{
    char fails[32], works[32];

    (void)user;
    fprintf(stderr, "\r\033[Klooking for a cap: %s does not fit",
            cap_text(now->fails_bytes, fails, sizeof fails));
    if (now->works_bytes)
        fprintf(stderr, ", %s does",
                cap_text(now->works_bytes, works, sizeof works));
    fflush(stderr);
}

enum dawn_status find_cap(const struct program *p, const char *policy,
                          struct dawn_planner_nofit *nofit,
                          struct dawn_error *err)
{
    const struct dawn_planner_watch watch = {.tell = show};
    struct dawn_planner_opts opts = p->options.plan;
    bool terminal = isatty(STDERR_FILENO) && !p->options.compare;
    enum dawn_status st;

    opts.policy = policy;
    if (terminal)
        fprintf(stderr, "looking for a cap that would do");
    st = dawn_planner_find_cap(p->profile, p->machine, &opts,
                               terminal ? &watch : NULL, nofit, err);
    if (terminal)
        fprintf(stderr, "\r\033[K");
    return st;
}

enum dawn_status report_nofit(const struct dawn_planner_nofit *nofit,
                              struct dawn_error *err)
{
    char works[32], fails[32], nodes[200] = "", versions[48] = "";
    char limit[160] = "";

    cap_text(nofit->works_bytes, works, sizeof works);
    cap_text(nofit->fails_bytes, fails, sizeof fails);
    if (nofit->cut_off)
        snprintf(limit, sizeof limit,
                 "; the search ended at its limit, with nothing known of caps "
                 "between that and %s",
                 fails);
    if (!nofit->works_bytes)
        return dawn_fail(err, DAWN_E_NOFIT, "no cap was found to work%s",
                         nofit->cut_off ? " within the limit of the search"
                                        : "");
    if (nofit->first)
        snprintf(nodes, sizeof nodes, " (%s to %s)", nofit->first, nofit->last);
    if (nofit->versions > 1)
        snprintf(versions, sizeof versions, " with %d versions of its weights",
                 nofit->versions);
    return dawn_fail(err, DAWN_E_NOFIT,
                     "the smallest cap found to work is about %s, where stage "
                     "%d%s takes %" PRIu64 " bytes%s%s",
                     works, nofit->stage, nodes, nofit->stage_bytes, versions,
                     limit);
}
