/* SPDX-License-Identifier: Apache-2.0 */
/* Reference operators; the formulas are those of the host kernels' comments. */
#include "device/reference.h"
#include "common/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t case_elements(const struct case_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->dims; i++)
        n *= t->shape[i];
    return n;
}

int64_t case_input_elements(const struct op_case *c, int i)
{
    return (c->in[i].fixed ? 1 : c->b) * case_elements(&c->in[i]);
}

double case_attr(const struct op_case *c, const char *key, double otherwise)
{
    for (int i = 0; i < c->attrs; i++)
        if (strcmp(c->attr[i].key, key) == 0)
            return c->attr[i].value;
    return otherwise;
}

static int64_t last_extent(const struct case_tensor *t)
{
    return t->shape[t->dims - 1];
}

/* all elements of input 0 */
static int64_t elements(const struct ref_io *io)
{
    return io->c->b * case_elements(&io->c->in[0]);
}

static void embedding_forward(const struct ref_io *io)
{
    int64_t n = io->c->param[0].shape[1];
    for (int64_t i = 0; i < elements(io); i++)
        for (int64_t j = 0; j < n; j++)
            io->out[0][i * n + j] = io->param[0][(int64_t)io->in[0][i] * n + j];
}

static void embedding_backward(const struct ref_io *io)
{
    int64_t n = io->c->param[0].shape[1];
    for (int64_t i = 0; i < case_elements(&io->c->param[0]); i++)
        io->dparam[0][i] = 0;
    for (int64_t i = 0; i < elements(io); i++)
        for (int64_t j = 0; j < n; j++)
            io->dparam[0][(int64_t)io->in[0][i] * n + j] += io->dout[i * n + j];
}

static void position_forward(const struct ref_io *io)
{
    int64_t sample = case_elements(&io->c->in[0]);
    for (int64_t i = 0; i < elements(io); i++)
        io->out[0][i] = io->in[0][i] + io->param[0][i % sample];
}

static void position_backward(const struct ref_io *io)
{
    int64_t sample = case_elements(&io->c->in[0]);
    for (int64_t i = 0; i < case_elements(&io->c->param[0]); i++)
        io->dparam[0][i] = 0;
    for (int64_t i = 0; i < elements(io); i++) {
        io->din[0][i] = io->dout[i];
        io->dparam[0][i % sample] += io->dout[i];
    }
}

static void norm_row(const struct ref_io *io, int64_t row, double *mean_p,
                     double *rstd_p)
{
    int64_t n = last_extent(&io->c->in[0]);
    const double *x = io->in[0] + row * n;
    double mean = 0, var = 0;
    for (int64_t i = 0; i < n; i++)
        mean += x[i] / (double)n;
    for (int64_t i = 0; i < n; i++)
        var += (x[i] - mean) * (x[i] - mean) / (double)n;
    *mean_p = mean;
    *rstd_p = 1 / sqrt(var + case_attr(io->c, "eps", 1e-5));
}

static void norm_forward(const struct ref_io *io)
{
    int64_t n = last_extent(&io->c->in[0]);
    for (int64_t row = 0; row < elements(io) / n; row++) {
        double mean, rstd;
        norm_row(io, row, &mean, &rstd);
        io->out[1][row] = mean;
        io->out[2][row] = rstd;
        for (int64_t i = 0; i < n; i++)
            io->out[0][row * n + i] =
                (io->in[0][row * n + i] - mean) * rstd * io->param[0][i] +
                io->param[1][i];
    }
}

static void norm_backward(const struct ref_io *io)
{
    int64_t n = last_extent(&io->c->in[0]);
    memset(io->dparam[0], 0, (size_t)n * sizeof(double));
    memset(io->dparam[1], 0, (size_t)n * sizeof(double));
    for (int64_t row = 0; row < elements(io) / n; row++) {
        const double *x = io->in[0] + row * n, *dout = io->dout + row * n;
        double mean, rstd, mean_g = 0, mean_gh = 0;
        norm_row(io, row, &mean, &rstd);
        for (int64_t i = 0; i < n; i++) {
            double h = (x[i] - mean) * rstd, g = dout[i] * io->param[0][i];
            mean_g += g / (double)n;
            mean_gh += g * h / (double)n;
            io->dparam[0][i] += dout[i] * h;
            io->dparam[1][i] += dout[i];
        }
        for (int64_t i = 0; i < n; i++) {
            double h = (x[i] - mean) * rstd, g = dout[i] * io->param[0][i];
            io->din[0][row * n + i] = rstd * (g - mean_g - h * mean_gh);
        }
    }
}

static double rms_rstd(const struct ref_io *io, const double *x)
{
    int64_t n = last_extent(&io->c->in[0]);
    double mean = 0;
    for (int64_t i = 0; i < n; i++)
        mean += x[i] * x[i] / (double)n;
    return 1 / sqrt(mean + case_attr(io->c, "eps", 1e-6));
}

static void rms_forward(const struct ref_io *io)
{
    int64_t n = last_extent(&io->c->in[0]);
    for (int64_t i = 0; i < elements(io); i++) {
        double rstd = rms_rstd(io, io->in[0] + i / n * n);
        io->out[0][i] = io->in[0][i] * rstd * io->param[0][i % n];
        io->out[1][i / n] = rstd;
    }
}

static void rms_backward(const struct ref_io *io)
{
    int64_t n = last_extent(&io->c->in[0]);
    memset(io->dparam[0], 0, (size_t)n * sizeof(double));
    for (int64_t row = 0; row < elements(io); row += n) {
        const double *x = io->in[0] + row, *dout = io->dout + row;
        double rstd = rms_rstd(io, x), mean = 0;
        for (int64_t i = 0; i < n; i++) {
            mean += dout[i] * io->param[0][i] * x[i] * rstd / (double)n;
            io->dparam[0][i] += dout[i] * x[i] * rstd;
        }
        for (int64_t i = 0; i < n; i++)
            io->din[0][row + i] =
                rstd * (dout[i] * io->param[0][i] - x[i] * rstd * mean);
    }
}

static void linear_forward(const struct ref_io *io)
{
    int64_t n = io->c->param[0].shape[0], k = io->c->param[0].shape[1];
    for (int64_t row = 0; row < elements(io) / k; row++)
        for (int64_t j = 0; j < n; j++) {
            double sum = io->c->params == 2 ? io->param[1][j] : 0;
            for (int64_t i = 0; i < k; i++)
                sum += io->in[0][row * k + i] * io->param[0][j * k + i];
            io->out[0][row * n + j] = sum;
        }
}

static void linear_backward(const struct ref_io *io)
{
    int64_t n = io->c->param[0].shape[0], k = io->c->param[0].shape[1];
    int64_t rows = elements(io) / k;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < k; i++) {
            double sum = 0;
            for (int64_t j = 0; j < n; j++)
                sum += io->dout[row * n + j] * io->param[0][j * k + i];
            io->din[0][row * k + i] = sum;
        }
    for (int64_t j = 0; j < n; j++) {
        double bias = 0;
        for (int64_t row = 0; row < rows; row++)
            bias += io->dout[row * n + j];
        if (io->c->params == 2)
            io->dparam[1][j] = bias;
        for (int64_t i = 0; i < k; i++) {
            double sum = 0;
            for (int64_t row = 0; row < rows; row++)
                sum += io->dout[row * n + j] * io->in[0][row * k + i];
            io->dparam[0][j * k + i] = sum;
        }
    }
}

#define GELU_K 0.79788456080286535588 /* sqrt(2 / pi) */

static void gelu_forward(const struct ref_io *io)
{
    for (int64_t i = 0; i < elements(io); i++) {
        double x = io->in[0][i];
        io->out[0][i] =
            0.5 * x * (1 + tanh(GELU_K * (x + 0.044715 * x * x * x)));
    }
}

static void gelu_backward(const struct ref_io *io)
{
    for (int64_t i = 0; i < elements(io); i++) {
        double x = io->in[0][i];
        double t = tanh(GELU_K * (x + 0.044715 * x * x * x));
        double du = GELU_K * (1 + 3 * 0.044715 * x * x);
        io->din[0][i] =
            io->dout[i] * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * du);
    }
}

static void relu_forward(const struct ref_io *io)
{
    for (int64_t i = 0; i < elements(io); i++)
        io->out[0][i] = fmax(io->in[0][i], 0);
}

static void relu_backward(const struct ref_io *io)
{
    for (int64_t i = 0; i < elements(io); i++)
        io->din[0][i] = io->in[0][i] > 0 ? io->dout[i] : 0;
}

static void scale_forward(const struct ref_io *io)
{
    for (int64_t i = 0; i < elements(io); i++)
        io->out[0][i] = io->in[0][i] * case_attr(io->c, "by", 1);
}

static void scale_backward(const struct ref_io *io)
{
    for (int64_t i = 0; i < elements(io); i++)
        io->din[0][i] = io->dout[i] * case_attr(io->c, "by", 1);
}

/* What the attention operators work on: q, k, v side by side in a row of qkv.
 */
struct heads {
    int64_t b, t, h, d, width; /* width = h * d */
};

static struct heads heads_of(const struct op_case *c,
                             const struct case_tensor *qkv)
{
    struct heads s = {
        .b = c->b, .t = qkv->shape[0], .width = qkv->shape[1] / 3};
    s.h = (int64_t)case_attr(c, "heads", 1);
    s.d = s.width / s.h;
    return s;
}

/* Index of element 0 of q (part 0), k (1) or v (2) of a head at place t. */
static int64_t part_at(const struct heads *s, int64_t b, int64_t h, int64_t t,
                       int part)
{
    return ((b * s->t + t) * 3 + part) * s->width + h * s->d;
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add_scaled(double *to, const double *from, double x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] += from[i] * x;
}

static void *zeros(int64_t n)
{
    void *p = calloc((size_t)n, sizeof(double));
    if (!p)
        abort();
    return p;
}

static void scores(const struct heads *s, const double *qkv, double *out)
{
    for (int64_t i = 0; i < s->b * s->h * s->t * s->t; i++) {
        int64_t k = i % s->t, q = i / s->t % s->t, h = i / s->t / s->t % s->h;
        int64_t b = i / s->t / s->t / s->h;
        out[i] = dot(qkv + part_at(s, b, h, q, 0), qkv + part_at(s, b, h, k, 1),
                     s->d) /
                 sqrt((double)s->d);
    }
}

/* dqkv is added to */
static void scores_back(const struct heads *s, const double *qkv,
                        const double *dscores, double *dqkv)
{
    for (int64_t i = 0; i < s->b * s->h * s->t * s->t; i++) {
        int64_t k = i % s->t, q = i / s->t % s->t, h = i / s->t / s->t % s->h;
        int64_t b = i / s->t / s->t / s->h;
        int64_t at_q = part_at(s, b, h, q, 0), at_k = part_at(s, b, h, k, 1);
        double d = dscores[i] / sqrt((double)s->d);
        add_scaled(dqkv + at_q, qkv + at_k, d, s->d);
        add_scaled(dqkv + at_k, qkv + at_q, d, s->d);
    }
}

/* rows of n; row r sees r % n + 1 elements when causal; lse may be NULL */
static void softmax_rows(int64_t rows, int64_t n, bool causal, const double *x,
                         double *out, double *lse)
{
    for (int64_t row = 0; row < rows; row++) {
        int64_t seen = causal ? row % n + 1 : n;
        double top = x[row * n], sum = 0;
        for (int64_t i = 0; i < seen; i++)
            top = fmax(top, x[row * n + i]);
        for (int64_t i = 0; i < seen; i++)
            sum += exp(x[row * n + i] - top);
        for (int64_t i = 0; i < n; i++)
            out[row * n + i] = i < seen ? exp(x[row * n + i] - top) / sum : 0;
        if (lse)
            lse[row] = top + log(sum);
    }
}

static void softmax_back(int64_t rows, int64_t n, const double *p,
                         const double *dp, double *dx)
{
    for (int64_t row = 0; row < rows; row++) {
        double sum = dot(p + row * n, dp + row * n, n);
        for (int64_t i = row * n; i < (row + 1) * n; i++)
            dx[i] = p[i] * (dp[i] - sum);
    }
}

static void values(const struct heads *s, const double *p, const double *qkv,
                   double *out)
{
    memset(out, 0, (size_t)(s->b * s->t * s->width) * sizeof *out);
    for (int64_t i = 0; i < s->b * s->h * s->t * s->t; i++) {
        int64_t k = i % s->t, q = i / s->t % s->t, h = i / s->t / s->t % s->h;
        int64_t b = i / s->t / s->t / s->h;
        add_scaled(out + (b * s->t + q) * s->width + h * s->d,
                   qkv + part_at(s, b, h, k, 2), p[i], s->d);
    }
}

/* dqkv is added to */
static void values_back(const struct heads *s, const double *p,
                        const double *qkv, const double *dout, double *dp,
                        double *dqkv)
{
    for (int64_t i = 0; i < s->b * s->h * s->t * s->t; i++) {
        int64_t k = i % s->t, q = i / s->t % s->t, h = i / s->t / s->t % s->h;
        int64_t b = i / s->t / s->t / s->h, v = part_at(s, b, h, k, 2);
        const double *d = dout + (b * s->t + q) * s->width + h * s->d;
        dp[i] = dot(d, qkv + v, s->d);
        add_scaled(dqkv + v, d, p[i], s->d);
    }
}

static void attention_forward(const struct ref_io *io)
{
    struct heads s = heads_of(io->c, &io->c->in[0]);
    bool causal = case_attr(io->c, "causal", 1) != 0;
    double *p = zeros(s.b * s.h * s.t * s.t);
    scores(&s, io->in[0], p);
    softmax_rows(s.b * s.h * s.t, s.t, causal, p, p, io->out[1]);
    values(&s, p, io->in[0], io->out[0]);
    free(p);
}

static void attention_backward(const struct ref_io *io)
{
    struct heads s = heads_of(io->c, &io->c->in[0]);
    bool causal = case_attr(io->c, "causal", 1) != 0;
    int64_t all = s.b * s.h * s.t * s.t;
    double *p = zeros(all), *dp = zeros(all);
    memset(io->din[0], 0, (size_t)elements(io) * sizeof(double));
    scores(&s, io->in[0], p);
    softmax_rows(s.b * s.h * s.t, s.t, causal, p, p, NULL);
    values_back(&s, p, io->in[0], io->dout, dp, io->din[0]);
    softmax_back(s.b * s.h * s.t, s.t, p, dp, dp);
    scores_back(&s, io->in[0], dp, io->din[0]);
    free(p);
    free(dp);
}

static void attn_scores_forward(const struct ref_io *io)
{
    struct heads s = heads_of(io->c, &io->c->in[0]);
    scores(&s, io->in[0], io->out[0]);
}

static void attn_scores_backward(const struct ref_io *io)
{
    struct heads s = heads_of(io->c, &io->c->in[0]);
    memset(io->din[0], 0, (size_t)elements(io) * sizeof(double));
    scores_back(&s, io->in[0], io->dout, io->din[0]);
}

static void softmax_forward(const struct ref_io *io)
{
    int64_t n = last_extent(&io->c->in[0]);
    softmax_rows(elements(io) / n, n, case_attr(io->c, "causal", 1) != 0,
                 io->in[0], io->out[0], NULL);
}

static void softmax_backward(const struct ref_io *io)
{
    int64_t n = last_extent(&io->c->in[0]);
    double *p = zeros(elements(io));
    softmax_rows(elements(io) / n, n, case_attr(io->c, "causal", 1) != 0,
                 io->in[0], p, NULL);
    softmax_back(elements(io) / n, n, p, io->dout, io->din[0]);
    free(p);
}

static void attn_values_forward(const struct ref_io *io)
{
    struct heads s = heads_of(io->c, &io->c->in[1]);
    values(&s, io->in[0], io->in[1], io->out[0]);
}

static void attn_values_backward(const struct ref_io *io)
{
    struct heads s = heads_of(io->c, &io->c->in[1]);
    int64_t n = io->c->b * case_elements(&io->c->in[1]);
    memset(io->din[1], 0, (size_t)n * sizeof(double));
    values_back(&s, io->in[0], io->in[1], io->dout, io->din[0], io->din[1]);
}

/* One pair of attend: sample, head, query and key, by number. */
struct pair {
    int64_t q, k; /* where the head's rows of them begin */
    int64_t bias; /* the element of the bias */
    int64_t size;
    bool seen;
};

static int64_t pairs(const struct op_case *c)
{
    return c->b * (int64_t)case_attr(c, "heads", 1) * c->in[0].shape[0] *
           c->in[1].shape[0];
}

static struct pair pair_of(const struct op_case *c, int64_t i)
{
    int64_t queries = c->in[0].shape[0], keys = c->in[1].shape[0];
    int64_t width = c->in[0].shape[1];
    int64_t heads = (int64_t)case_attr(c, "heads", 1);
    int64_t k = i % keys, q = i / keys % queries;
    int64_t h = i / keys / queries % heads, b = i / keys / queries / heads;
    struct pair p = {.size = width / heads};
    p.q = (b * queries + q) * width + h * p.size;
    p.k = (b * keys + k) * width + h * p.size;
    p.bias = h * (queries + keys - 1) + q - k + keys - 1;
    p.seen = case_attr(c, "causal", 1) == 0 || k <= q;
    return p;
}

static double attend_scale(const struct op_case *c)
{
    double size = (double)c->in[0].shape[1] / case_attr(c, "heads", 1);
    return case_attr(c, "scaled", 1) != 0 ? 1 / sqrt(size) : 1;
}

/* The probability of each pair; lse of each query, or NULL. */
static double *attend_probs(const struct ref_io *io, double *lse)
{
    int64_t n = pairs(io->c), keys = io->c->in[1].shape[0];
    double *p = zeros(n);
    for (int64_t i = 0; i < n; i++) {
        struct pair at = pair_of(io->c, i);
        p[i] = dot(io->in[0] + at.q, io->in[1] + at.k, at.size) *
               attend_scale(io->c);
        if (io->c->inputs > 3)
            p[i] += io->in[3][at.bias];
        if (!at.seen)
            p[i] = -1e300;
    }
    softmax_rows(n / keys, keys, false, p, p, lse);
    return p;
}

static void attend_forward(const struct ref_io *io)
{
    double *p = attend_probs(io, io->out[1]);
    memset(io->out[0], 0, (size_t)elements(io) * sizeof(double));
    for (int64_t i = 0; i < pairs(io->c); i++) {
        struct pair at = pair_of(io->c, i);
        add_scaled(io->out[0] + at.q, io->in[2] + at.k, p[i], at.size);
    }
    free(p);
}

static void attend_backward(const struct ref_io *io)
{
    int64_t n = pairs(io->c), keys = io->c->in[1].shape[0];
    double *p = attend_probs(io, NULL), *d = zeros(n);
    for (int i = 0; i < io->c->inputs; i++)
        memset(io->din[i], 0,
               (size_t)case_input_elements(io->c, i) * sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        struct pair at = pair_of(io->c, i);
        d[i] = dot(io->dout + at.q, io->in[2] + at.k, at.size);
        add_scaled(io->din[2] + at.k, io->dout + at.q, p[i], at.size);
    }
    softmax_back(n / keys, keys, p, d, d);
    for (int64_t i = 0; i < n; i++) {
        struct pair at = pair_of(io->c, i);
        double by = d[i] * attend_scale(io->c);
        add_scaled(io->din[0] + at.q, io->in[1] + at.k, by, at.size);
        add_scaled(io->din[1] + at.k, io->in[0] + at.q, by, at.size);
        if (io->c->inputs > 3)
            io->din[3][at.bias] += d[i];
    }
    free(p);
    free(d);
}

/* The table's entry of element i of the bias. The bucket of a far distance is
 * the last whose first distance is not further: exact (most / exact)^(k/exact).
 */
static int64_t bias_entry(const struct ref_io *io, int64_t i)
{
    int64_t t = (int64_t)case_attr(io->c, "context", 1), all = 2 * t - 1;
    int64_t heads = io->c->param[0].shape[1], sided = io->c->param[0].shape[0];
    double most = case_attr(io->c, "max_distance", 128);
    int64_t ahead = t - 1 - i % all, from = 0, bucket = 0;
    if (case_attr(io->c, "causal", 1) == 0) {
        sided /= 2;
        from = ahead > 0 ? sided : 0;
        ahead = ahead > 0 ? -ahead : ahead;
    }
    double exact = (double)(sided / 2);
    for (int64_t k = 1; k < sided; k++) {
        double first = (double)k;
        if (first > exact)
            first = exact * pow(most / exact, (first - exact) / exact);
        if ((double)-ahead >= first - 1e-6)
            bucket = k;
    }
    return (from + bucket) * heads + i / all;
}

static int64_t biases(const struct ref_io *io)
{
    return io->c->param[0].shape[1] *
           (2 * (int64_t)case_attr(io->c, "context", 1) - 1);
}

static void bias_forward(const struct ref_io *io)
{
    for (int64_t i = 0; i < biases(io); i++)
        io->out[0][i] = io->param[0][bias_entry(io, i)];
}

static void bias_backward(const struct ref_io *io)
{
    memset(io->dparam[0], 0,
           (size_t)case_elements(&io->c->param[0]) * sizeof(double));
    for (int64_t i = 0; i < biases(io); i++)
        io->dparam[0][bias_entry(io, i)] += io->dout[i];
}

/* Element e of a sample: the layout of src/device/host/dropout.c. */
static double dropout_factor(const struct ref_io *io, int64_t i)
{
    int64_t sample = i / case_elements(&io->c->in[0]);
    int64_t e = i % case_elements(&io->c->in[0]);
    double p = case_attr(io->c, "p", 0);
    uint64_t hi = io->step << 32 | (uint32_t)io->node;
    uint64_t lo = (io->sample + (uint64_t)sample) << 32;
    struct dawni_u32x4 r =
        dawni_philox(io->seed, hi, lo | (uint32_t)(e / 64 * 16 + e % 16));
    return r.v[e % 64 / 16] < (uint32_t)(p * 0x1p32) ? 0 : 1 / (1 - p);
}

static void dropout_forward(const struct ref_io *io)
{
    for (int64_t i = 0; i < elements(io); i++)
        io->out[0][i] = io->in[0][i] * dropout_factor(io, i);
}

static void dropout_backward(const struct ref_io *io)
{
    for (int64_t i = 0; i < elements(io); i++)
        io->din[0][i] = io->dout[i] * dropout_factor(io, i);
}

static void add_forward(const struct ref_io *io)
{
    for (int64_t i = 0; i < elements(io); i++)
        io->out[0][i] = io->in[0][i] + io->in[1][i];
}

static void add_backward(const struct ref_io *io)
{
    for (int64_t i = 0; i < elements(io); i++)
        io->din[0][i] = io->din[1][i] = io->dout[i];
}

/* x's element where out's element i comes from */
static int64_t gathered(const struct ref_io *io, int64_t i)
{
    int64_t width = last_extent(&io->c->in[0]), m = io->c->in[1].shape[0];
    int64_t row = i / width, first = row / m * io->c->in[0].shape[0];
    return (first + (int64_t)io->in[1][row]) * width + i % width;
}

static int64_t gathers(const struct ref_io *io)
{
    return io->c->b * io->c->in[1].shape[0] * last_extent(&io->c->in[0]);
}

static void gather_forward(const struct ref_io *io)
{
    for (int64_t i = 0; i < gathers(io); i++)
        io->out[0][i] = io->in[0][gathered(io, i)];
}

static void gather_backward(const struct ref_io *io)
{
    for (int64_t i = 0; i < elements(io); i++)
        io->din[0][i] = 0;
    for (int64_t i = 0; i < gathers(io); i++)
        io->din[0][gathered(io, i)] += io->dout[i];
}

static void entropy_forward(const struct ref_io *io)
{
    int64_t v = last_extent(&io->c->in[0]), rows = elements(io) / v;
    double *p = zeros(elements(io));
    softmax_rows(rows, v, false, io->in[0], p, io->out[1]);
    io->out[0][0] = 0;
    for (int64_t r = 0; r < rows; r++)
        io->out[0][0] +=
            (io->out[1][r] - io->in[0][r * v + (int64_t)io->in[1][r]]) /
            (double)rows;
    free(p);
}

static void entropy_backward(const struct ref_io *io)
{
    int64_t v = last_extent(&io->c->in[0]), rows = elements(io) / v;
    softmax_rows(rows, v, false, io->in[0], io->din[0], NULL);
    for (int64_t r = 0; r < rows; r++)
        io->din[0][r * v + (int64_t)io->in[1][r]] -= 1;
    for (int64_t i = 0; i < elements(io); i++)
        io->din[0][i] *= io->dout[0] / (double)rows;
}

static const struct reference references[] = {
    {"embedding", embedding_forward, embedding_backward},
    {"position", position_forward, position_backward},
    {"layer_norm", norm_forward, norm_backward},
    {"rms_norm", rms_forward, rms_backward},
    {"linear", linear_forward, linear_backward},
    {"gelu", gelu_forward, gelu_backward},
    {"relu", relu_forward, relu_backward},
    {"scale", scale_forward, scale_backward},
    {"attend", attend_forward, attend_backward},
    {"relative_bias", bias_forward, bias_backward},
    {"attention", attention_forward, attention_backward},
    {"attn_scores", attn_scores_forward, attn_scores_backward},
    {"softmax", softmax_forward, softmax_backward},
    {"attn_values", attn_values_forward, attn_values_backward},
    {"dropout", dropout_forward, dropout_backward},
    {"add", add_forward, add_backward},
    {"gather", gather_forward, gather_backward},
    {"cross_entropy", entropy_forward, entropy_backward},
};

const struct reference *find_reference(const char *op)
{
    for (size_t i = 0; i < sizeof references / sizeof references[0]; i++)
        if (strcmp(references[i].op, op) == 0)
            return &references[i];
    return find_image_reference(op);
}
