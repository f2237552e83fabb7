/* SPDX-License-Identifier: Apache-2.0 */
/* A program as text, for people who want to see what a rank does in a step. */
#include "common/array.h"
#include "memory/memory.h"
#include "memory/program.h"
#include <inttypes.h>
#include <stdio.h>

static const char *const category_name[] = {
#define NAME(name, text) text,
    DAWN_CATEGORY_MAP(NAME)
#undef NAME
};

/* The node, tensor, parameter or stage that an instruction is about; "": none.
 * stage: room for the name of a stage. */
static const char *subject_of(const struct dawn_graph *graph,
                              const struct dawni_instr *i, char stage[32])
{
    switch (i->kind) {
    case DAWNI_I_F:
    case DAWNI_I_B:
    case DAWNI_I_W:
    case DAWNI_I_PREPARE:
        return graph->node[i->id].desc.name;
    case DAWNI_I_SUM_USES:
    case DAWNI_I_OBSERVE:
    case DAWNI_I_ADAMW:
    case DAWNI_I_AVERAGE:
    case DAWNI_I_ZERO:
        return graph->param[i->id].desc.name;
    case DAWNI_I_NORM:
        return "";
    case DAWNI_I_STAGE_NORM:
        snprintf(stage, 32, "stage %d", i->id);
        return stage;
    default:
        return i->microbatch < 0 ? graph->param[i->id].desc.name
                                 : graph->tensor[i->id].desc.name;
    }
}

void dawni_instr_describe(const struct dawni_program *p,
                          const struct dawn_graph *graph, int instr, char *text,
                          size_t room)
{
    const struct dawni_instr *i = &p->instr[instr];
    const char *kind = dawni_instr_name((enum dawni_instr_kind)i->kind);
    char stage[32];
    const char *name = subject_of(graph, i, stage);

    if (i->microbatch < 0)
        snprintf(text, room, "%s '%s'", kind, name);
    else
        snprintf(text, room, "%s(mb %d) '%s'", kind, i->microbatch, name);
}

/* What carries an instruction out: the processor, or messages and transfers
 * that go on beside it until the instruction of the same name with _wait. */
static const char *queue_of(const struct dawni_instr *i)
{
    switch (i->kind) {
    case DAWNI_I_RECV:
    case DAWNI_I_RECV_WAIT:
        return "receive";
    case DAWNI_I_SEND:
    case DAWNI_I_SEND_WAIT:
        return "send";
    case DAWNI_I_OFFLOAD:
    case DAWNI_I_OFFLOAD_WAIT:
        return "write";
    case DAWNI_I_PREFETCH:
    case DAWNI_I_PREFETCH_WAIT:
        return "read";
    default:
        return "compute";
    }
}

static void print_buffers(FILE *out, const struct dawni_program *p,
                          const char *role, const int *id, int n)
{
    for (int k = 0; k < n; k++) {
        const struct dawni_buffer *b = id[k] < 0 ? NULL : &p->buffer[id[k]];
        if (b)
            fprintf(out, " %s=%d@%" PRIu64 "+%" PRIu64 ":%s", role, id[k],
                    b->offset, b->bytes, category_name[b->category]);
    }
}

static void print_operands(FILE *out, const struct dawni_program *p,
                           const struct dawn_graph *graph,
                           const struct dawni_instr *i)
{
    const int *all = &p->operand[i->operand];
    bool of_node =
        i->kind == DAWNI_I_F || i->kind == DAWNI_I_B || i->kind == DAWNI_I_W;

    if (!of_node) {
        print_buffers(out, p, "buffer", all, i->operands);
        return;
    }
    const struct dawn_node_desc *node = &graph->node[i->id].desc;
    struct dawni_operands o = dawni_program_operands(p, node, i);
    print_buffers(out, p, "in", o.in, node->inputs);
    print_buffers(out, p, "out", o.out, node->outputs);
    if (i->kind != DAWNI_I_F) {
        print_buffers(out, p, "dout", o.dout, node->outputs);
        print_buffers(out, p, "din", o.din, node->inputs);
        print_buffers(out, p, "din_add", o.din_add, node->inputs);
    }
    print_buffers(out, p, "scratch", &o.scratch, 1);
}

static void print_instr(FILE *out, const struct dawni_program *p,
                        const struct dawn_graph *graph, int instr, int64_t live)
{
    const struct dawni_instr *i = &p->instr[instr];
    char text[200];

    dawni_instr_describe(p, graph, instr, text, sizeof text);
    fprintf(out, "%6d %-7s %12" PRId64 " %s%s", instr, queue_of(i), live, text,
            i->again && i->kind == DAWNI_I_F ? " again" : "");
    if (i->kind == DAWNI_I_RECV || i->kind == DAWNI_I_SEND)
        fprintf(out, " %s rank %d", i->kind == DAWNI_I_RECV ? "from" : "to",
                i->peer);
    if (i->kind == DAWNI_I_OFFLOAD || i->kind == DAWNI_I_PREFETCH)
        fprintf(out, " %s@%" PRIu64, i->peer == DAWN_TO_SSD ? "ssd" : "host",
                i->place);
    print_operands(out, p, graph, i);
    fputc('\n', out);
}

char *dawni_program_text(const struct dawni_program *p,
                         const struct dawn_graph *graph)
{
    int64_t *live = dawni_program_live(p);
    char *text = NULL;
    size_t bytes;
    FILE *out = live ? open_memstream(&text, &bytes) : NULL;

    if (!out) {
        free(live);
        return NULL;
    }
    fprintf(out,
            "# %d instructions, %d buffers, peak %" PRIu64
            " bytes, arena %" PRIu64 " bytes\n"
            "# instruction, queue, live bytes, what"
            " (role=buffer@offset+bytes:category ...)\n",
            p->instrs, p->buffers, p->memory.peak_bytes, p->memory.arena_bytes);
    for (int k = 0; k < p->instrs; k++) {
        if (k == p->step_instrs)
            fprintf(out, "# evaluation of a microbatch\n");
        print_instr(out, p, graph, k, live[k]);
    }
    free(live);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
