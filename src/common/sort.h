/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting plain numbers in place. */
#ifndef DAWNI_COMMON_SORT_H
#define DAWNI_COMMON_SORT_H

/* Ascending. */
void dawni_sort_ints(int *x, int n);
void dawni_sort_doubles(double *x, int n);

/* The median of n >= 1 numbers, which are sorted; of an even count, the mean of
 * the two in the middle. */
double dawni_median(double *x, int n);

#endif
