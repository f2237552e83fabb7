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

/* Numbers number n / 4 from below and from above, of n >= 1 that are sorted. */
struct dawni_quartiles {
    double low, high;
};
struct dawni_quartiles dawni_quartiles(double *x, int n);

#endif
