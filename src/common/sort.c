/* SPDX-License-Identifier: Apache-2.0 */
#include "common/sort.h"

#include <stdlib.h>

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void dawni_sort_ints(int *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, compare_ints);
}

void dawni_sort_doubles(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, compare_doubles);
}

double dawni_median(double *x, int n)
{
    dawni_sort_doubles(x, n);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

struct dawni_quartiles dawni_quartiles(double *x, int n)
{
    dawni_sort_doubles(x, n);
    return (struct dawni_quartiles){x[n / 4], x[n - 1 - n / 4]};
}
