/* SPDX-License-Identifier: Apache-2.0 */
/* Cores that compute while something else is measured beside them.
 * (libdawnpiper-run) */
#ifndef DAWNI_TOPOLOGY_BUSY_H
#define DAWNI_TOPOLOGY_BUSY_H

#include <dawnpiper/status.h>
#include <stdint.h>

struct dawni_busy;

/* A thread for each core that this process may use computes until it is
 * destroyed. Returns DAWN_OK or DAWN_E_NOMEM (also where there can be no
 * thread). */
enum dawn_status dawni_busy_create(struct dawni_busy **busy_p,
                                   struct dawn_error *err);
void dawni_busy_destroy(struct dawni_busy *busy); /* takes NULL */

struct dawni_busy_mark { /* how far all threads were at a time */
    uint64_t at_ns, work;
};

struct dawni_busy_mark dawni_busy_now(const struct dawni_busy *busy);

/* Work a nanosecond, of all threads, from one mark to another. */
double dawni_busy_rate(const struct dawni_busy_mark *from,
                       const struct dawni_busy_mark *to);

int dawni_busy_threads(const struct dawni_busy *busy);

#endif
