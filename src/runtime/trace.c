/* SPDX-License-Identifier: Apache-2.0 */
/* The newest step as Chrome trace JSON (chrome://tracing, Perfetto): a row a
 * rank, a box an instruction.
 */
#include "common/array.h"
#include "common/file.h"
#include "runtime/exec.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT 96 /* bytes of a box's name, and so of a record */

struct record {
    uint64_t begin_ns, end_ns;
    char text[TEXT];
};

static int fill(const struct dawn_exec *e, struct record *r)
{
    uint64_t zero = e->span[0].begin_ns;
    int n = 0;
    for (int k = 0; k <= e->done && k < e->program->step_instrs; k++) {
        r[n].begin_ns = e->span[k].begin_ns - zero;
        r[n].end_ns = e->span[k].end_ns - zero;
        char text[200];
        dawni_instr_describe(e->program, e->graph, k, text, sizeof text);
        snprintf(r[n++].text, TEXT, "%.*s", TEXT - 1, text);
    }
    return n;
}

static void print(FILE *f, const struct record *all, const int64_t *count,
                  int ranks, int64_t most)
{
    const char *comma = "";
    fprintf(f, "{\"traceEvents\":[\n");
    for (int rank = 0; rank < ranks; rank++)
        for (int64_t i = 0; i < count[rank]; i++) {
            const struct record *r = &all[rank * most + i];
            uint64_t length = r->end_ns - r->begin_ns;
            fprintf(f,
                    "%s{\"ph\":\"X\",\"pid\":0,\"tid\":%d,\"name\":\"%s\","
                    "\"ts\":%" PRIu64 ".%03" PRIu64 ",\"dur\":%" PRIu64
                    ".%03" PRIu64 "}",
                    comma, rank, r->text, r->begin_ns / 1000,
                    r->begin_ns % 1000, length / 1000, length % 1000);
            comma = ",\n";
        }
    fprintf(f, "\n]}\n");
}

static enum dawn_status write(const char *path, const struct record *all,
                              const int64_t *count, int ranks, int64_t most,
                              struct dawn_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a trace");
    print(f, all, count, ranks, most);
    enum dawn_status st = DAWN_OK;
    if (fclose(f))
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for a trace");
    else
        st = dawni_file_write(path, text, bytes, err);
    free(text);
    return st;
}

static enum dawn_status gather(struct dawn_exec *e, struct record *mine,
                               int64_t *count, struct record **all_p,
                               int64_t *most_p, struct dawn_error *err)
{
    int64_t n = fill(e, mine), most = 0;
    enum dawn_status st =
        e->comm->ops->allgather(e->comm, &n, sizeof n, count, err);
    for (int r = 0; r < e->comm->size; r++)
        most = count[r] > most ? count[r] : most;
    size_t each = (size_t)most * sizeof **all_p;
    struct record *padded = st ? NULL : dawni_calloc(most, sizeof *padded);
    *all_p = st ? NULL : dawni_calloc(most * e->comm->size, sizeof **all_p);
    if (!st && (!padded || !*all_p))
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for a trace");
    st = dawni_agree(e->comm, st, err);
    if (!st) {
        memcpy(padded, mine, (size_t)n * sizeof *mine);
        st = e->comm->ops->allgather(e->comm, padded, each, *all_p, err);
    }
    free(padded);
    *most_p = most;
    return st;
}

enum dawn_status dawn_exec_write_trace(struct dawn_exec *e, const char *path,
                                       struct dawn_error *err)
{
    struct record *all = NULL, *mine = NULL;
    int64_t most = 0;
    int64_t *count = dawni_calloc(e->comm->size, sizeof *count);
    enum dawn_status st = DAWN_OK;
    if (!e->span)
        st = dawn_fail(err, DAWN_E_INVAL, "the executor keeps no trace");
    else if (!(mine = dawni_calloc(e->program->instrs, sizeof *mine)) || !count)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for a trace");
    st = dawni_agree(e->comm, st, err);
    if (!st)
        st = gather(e, mine, count, &all, &most, err);
    if (!st && e->comm->rank == 0)
        st = write(path, all, count, e->comm->size, most, err);
    st = dawni_agree(e->comm, st, err);
    free(all);
    free(mine);
    free(count);
    return st;
}
