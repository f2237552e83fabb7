/* SPDX-License-Identifier: Apache-2.0 */
/* What operator definitions check and build with. */
#include "op/op.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool dawni_op_fail(struct dawni_op *c, const char *format, ...)
{
    char text[500];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    dawn_graph_fail(c->graph, DAWN_E_INVAL, "node %s (%s): %s", c->desc->name,
                    c->desc->op, text);
    return false;
}

double dawni_op_attr(const struct dawni_op *c, const char *key)
{
    for (int i = 0; i < c->attrs; i++)
        if (strcmp(c->attr[i].key, key) == 0)
            return c->attr[i].value;
    assert(!"an attribute that the definition lists");
    return 0;
}

static int append(char *text, int used, const char *piece)
{
    int n = snprintf(text + used, (size_t)(DAWNI_OP_TEXT - used), "%s", piece);
    used += n;
    return used < DAWNI_OP_TEXT ? used : DAWNI_OP_TEXT - 1;
}

static void shape_text(char text[DAWNI_OP_TEXT], bool batched, int dims,
                       const int64_t *shape)
{
    int used = append(text, 0, batched ? "(b" : "(");
    for (int i = 0; i < dims; i++) {
        char piece[32];
        snprintf(piece, sizeof piece, "%s%lld", i || batched ? "," : "",
                 (long long)shape[i]);
        used = append(text, used, piece);
    }
    append(text, used, ")");
}

const char *dawni_op_tensor_text(const struct dawn_tensor_desc *tensor,
                                 char text[DAWNI_OP_TEXT])
{
    shape_text(text, tensor->batched, tensor->dims, tensor->shape);
    int used = append(text, (int)strlen(text), " ");
    append(text, used, dawn_dtype_name(tensor->dtype));
    return text;
}

bool dawni_op_want_float(struct dawni_op *c, int i, int dims)
{
    const struct dawn_tensor_desc *x = c->in[i];
    char text[DAWNI_OP_TEXT];
    if (x->dtype != DAWN_F32 && x->dtype != DAWN_BF16)
        return dawni_op_fail(c, "input %s is %s, must be f32 or bf16", x->name,
                             dawni_op_tensor_text(x, text));
    if (!x->batched || x->dims < dims)
        return dawni_op_fail(c,
                             "input %s is %s, must have b and at least %d"
                             " more extents",
                             x->name, dawni_op_tensor_text(x, text), dims);
    return true;
}

bool dawni_op_want_index(struct dawni_op *c, int i)
{
    const struct dawn_tensor_desc *x = c->in[i];
    char text[DAWNI_OP_TEXT];
    if (x->dtype != DAWN_I32 || !x->batched || x->dims < 1)
        return dawni_op_fail(c, "input %s is %s, must be (b,T) i32", x->name,
                             dawni_op_tensor_text(x, text));
    return true;
}

static bool same_shape(const struct dawn_tensor_desc *a,
                       const struct dawn_tensor_desc *b)
{
    return a->batched == b->batched && a->dims == b->dims &&
           memcmp(a->shape, b->shape, (size_t)a->dims * sizeof a->shape[0]) ==
               0;
}

bool dawni_op_want_same(struct dawni_op *c, int i, int k)
{
    const struct dawn_tensor_desc *a = c->in[i], *b = c->in[k];
    char ta[DAWNI_OP_TEXT], tb[DAWNI_OP_TEXT];
    if (a->dtype == b->dtype && same_shape(a, b))
        return true;
    return dawni_op_fail(c, "inputs %s %s and %s %s must be alike", a->name,
                         dawni_op_tensor_text(a, ta), b->name,
                         dawni_op_tensor_text(b, tb));
}

bool dawni_op_want_param(struct dawni_op *c, int i, int dims, int64_t first,
                         int64_t second)
{
    const struct dawn_param_desc *w = c->param[i];
    const int64_t want[2] = {first, second};
    if (w->dims == dims && w->shape[0] == first &&
        (dims == 1 || w->shape[1] == second))
        return true;
    char got_text[DAWNI_OP_TEXT], want_text[DAWNI_OP_TEXT];
    shape_text(got_text, false, w->dims, w->shape);
    shape_text(want_text, false, dims, want);
    return dawni_op_fail(c, "parameter %s is %s, must be %s", w->name, got_text,
                         want_text);
}

struct dawn_tensor_desc *dawni_op_output(struct dawni_op *c, const char *suffix,
                                         enum dawn_dtype dtype)
{
    int k = c->outputs++;
    assert(k < DAWNI_OP_OUTPUTS);
    snprintf(c->out_name[k], sizeof c->out_name[k], "%s%s", c->desc->name,
             suffix);
    c->out[k].name = c->out_name[k];
    c->out[k].dtype = dtype;
    c->out[k].batched = true;
    c->out[k].no_grad = k > 0;
    return &c->out[k];
}

void dawni_op_copy_shape(struct dawn_tensor_desc *to,
                         const struct dawn_tensor_desc *from, int dims)
{
    to->dims = dims;
    memcpy(to->shape, from->shape, (size_t)dims * sizeof to->shape[0]);
}

double dawni_op_elements(const struct dawn_tensor_desc *tensor)
{
    double n = 1;
    for (int i = 0; i < tensor->dims; i++)
        n *= (double)tensor->shape[i];
    return n;
}

int64_t dawni_op_last(const struct dawn_tensor_desc *tensor)
{
    return tensor->dims ? tensor->shape[tensor->dims - 1] : 1;
}

double dawni_op_rows(const struct dawn_tensor_desc *tensor)
{
    return dawni_op_elements(tensor) / (double)dawni_op_last(tensor);
}
