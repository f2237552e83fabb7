/* SPDX-License-Identifier: Apache-2.0 */
/* How many threads a rank may be told to have. */
#ifndef DAWNI_COMMON_THREADS_H
#define DAWNI_COMMON_THREADS_H

/* More than any machine has cores; each takes a stack. */
#define DAWNI_MOST_THREADS 4096

#endif
