/* SPDX-License-Identifier: Apache-2.0 */
/* Saving and opening checkpoints, ranks as threads. */
#include "ckpt/folder.h"
#include "tap.h"

#include <dawnpiper/checkpoint.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_RANKS = 4, TENSORS = 5, EXTENT = 1000 };

static char top[] = "ckpt-XXXXXX";
static char dir[64];

/* What all ranks do, and what came of it. */
struct job {
    int ranks;
    uint64_t step;
    int keep;
    bool same_name; /* two ranks give a tensor of one name */
    bool abandon;   /* instead of finishing */
    enum dawn_status begun, finished;
    struct dawn_error err;
};

struct worker {
    pthread_t thread;
    struct dawn_comm *comm;
    struct job job;
};

/* The value of element j of tensor i at that step. */
static float value(uint64_t step, int i, int j)
{
    return (float)(step * 1000 + (uint64_t)i) + (float)j / 1024;
}

/* Tensors i = rank, rank + ranks, ... belong to the rank. */
static void *save(void *arg)
{
    struct worker *worker = arg;
    struct job *job = &worker->job;
    int rank = dawn_comm_rank(worker->comm), n = 0;
    float data[TENSORS][EXTENT];
    char name[TENSORS][32], step[32];
    struct dawn_checkpoint_tensor tensor[TENSORS];
    struct dawn_checkpoint_string string[] = {{"seed", "7"}, {"at", step}};
    struct dawn_checkpoint_save *save = NULL;

    for (int i = rank; i < TENSORS; i += job->ranks, n++) {
        snprintf(name[n], sizeof name[n], "t%d", job->same_name ? 0 : i);
        for (int j = 0; j < EXTENT; j++)
            data[n][j] = value(job->step, i, j);
        tensor[n] = (struct dawn_checkpoint_tensor){
            name[n], DAWN_F32, 2, {EXTENT / 10, 10}, data[n], NULL, NULL};
        if (job->same_name)
            break;
    }
    n += job->same_name && n == 0;
    snprintf(step, sizeof step, "%" PRIu64, job->step);
    struct dawn_checkpoint_save_opts opts = {
        .comm = worker->comm,
        .dir = dir,
        .step = job->step,
        .keep = job->keep,
        .tensors = n,
        .tensor = tensor,
        .strings = rank ? 0 : 2,
        .string = string,
    };
    job->begun = dawn_checkpoint_save_begin(&opts, &save, &job->err);
    memset(name, 'x', sizeof name); /* all but the data is copied */
    if (job->begun)
        return NULL;
    if (job->step % 2) { /* once it is written, the data may change too */
        while (!dawn_checkpoint_save_written(save))
            usleep(100);
        memset(data, 0xff, sizeof data);
    }
    if (job->abandon)
        dawn_checkpoint_save_destroy(save);
    else
        job->finished = dawn_checkpoint_save_finish(save, &job->err);
    return NULL;
}

/* Run a job; true when all ranks returned the same, which *job then has. */
static bool run(struct job *job)
{
    struct worker worker[MAX_RANKS];
    struct dawn_comm *comms[MAX_RANKS];
    bool same = true;

    dawn_comm_create_loopback(job->ranks, 20, comms, NULL);
    for (int rank = 0; rank < job->ranks; rank++) {
        worker[rank] = (struct worker){.comm = comms[rank], .job = *job};
        pthread_create(&worker[rank].thread, NULL, save, &worker[rank]);
    }
    for (int rank = 0; rank < job->ranks; rank++) {
        pthread_join(worker[rank].thread, NULL);
        same = same && worker[rank].job.begun == worker[0].job.begun &&
               worker[rank].job.finished == worker[0].job.finished &&
               !strcmp(worker[rank].job.err.text, worker[0].job.err.text);
        dawn_comm_destroy(comms[rank]);
    }
    *job = worker[0].job;
    return same;
}

static bool saved(int ranks, uint64_t step, int keep)
{
    struct job job = {.ranks = ranks, .step = step, .keep = keep};
    bool fine = run(&job) && !job.begun && !job.finished;

    if (!fine)
        diag("%s", job.err.text);
    return fine;
}

/* All tensors of an open checkpoint have the bits of that step. */
static bool holds(const struct dawn_checkpoint *ck, uint64_t step)
{
    const int64_t shape[] = {EXTENT / 10, 10};
    float x[EXTENT];
    char name[32];

    for (int i = 0; i < TENSORS; i++) {
        snprintf(name, sizeof name, "t%d", i);
        if (dawn_checkpoint_read(ck, name, 2, shape, x, NULL))
            return false;
        for (int j = 0; j < EXTENT; j++)
            if (x[j] != value(step, i, j))
                return false;
    }
    return dawn_checkpoint_tensors(ck) == TENSORS &&
           dawn_checkpoint_step(ck) == step;
}

/* The newest one is of that step and whole. */
static bool newest_is(uint64_t step)
{
    struct dawn_checkpoint *ck = NULL;
    struct dawn_error err;

    if (dawn_checkpoint_open(NULL, dir, &ck, &err)) {
        diag("%s", err.text);
        return false;
    }
    bool fine = holds(ck, step);
    dawn_checkpoint_close(ck);
    return fine;
}

static char *in_dir(const char *name)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* Names in the folder, sorted, with spaces; hidden ones too. */
static const char *listing(void)
{
    static char text[1000];
    struct dirent **entry;
    int n = scandir(dir, &entry, NULL, alphasort);

    *text = '\0';
    for (int i = 0; i < n; i++) {
        if (strcmp(entry[i]->d_name, ".") && strcmp(entry[i]->d_name, "..")) {
            strcat(text, *text ? " " : "");
            strcat(text, entry[i]->d_name);
        }
        free(entry[i]);
    }
    free(entry);
    return text;
}

static void new_dir(const char *name)
{
    snprintf(dir, sizeof dir, "%s/%s/deep", top, name);
}

static void test_ranks(void)
{
    struct dawn_checkpoint *ck = NULL;
    const int64_t shape[] = {EXTENT / 10, 10}, other[] = {EXTENT};
    struct dawn_error err;
    float x[EXTENT];

    new_dir("ranks");
    for (int ranks = 1; ranks <= MAX_RANKS; ranks++) {
        ok(saved(ranks, (uint64_t)ranks, 0), "%d ranks save", ranks);
        ok(newest_is((uint64_t)ranks), "one process reads what %d wrote",
           ranks);
    }
    is_int(dawn_checkpoint_open(NULL, in_dir("step-00000002"), &ck, NULL),
           DAWN_OK, "a checkpoint is opened by its own path");
    ok(holds(ck, 2), "it has its step's numbers");
    is_str(dawn_checkpoint_path(ck), in_dir("step-00000002"), "and its path");
    is_str(dawn_checkpoint_string(ck, "seed"), "7", "strings are kept");
    is_str(dawn_checkpoint_string(ck, "at"), "2", "all of them");
    is_str(dawn_checkpoint_string(ck, "no"), NULL, "others are not there");
    is_str(dawn_checkpoint_skipped(ck), NULL, "nothing was passed over");
    is_int(dawn_checkpoint_read(ck, "t9", 2, shape, x, &err), DAWN_E_MISMATCH,
           "a tensor that is not there");
    ok(strstr(err.text, "no tensor t9"), "%s", err.text);
    is_int(dawn_checkpoint_read(ck, "t1", 1, other, x, &err), DAWN_E_MISMATCH,
           "another shape");
    ok(strstr(err.text, "[100,10], [1000] is wanted"), "%s", err.text);
    dawn_checkpoint_close(ck);
}

static void test_keep(void)
{
    new_dir("keep");
    for (uint64_t step = 10; step <= 50; step += 10)
        saved(2, step, 2);
    is_str(listing(), "step-00000040 step-00000050", "the newest two are kept");
    ok(saved(1, 50, 2), "a step is saved again, by another number of ranks");
    ok(newest_is(50), "it is whole");
    is_str(listing(), "step-00000040 step-00000050", "nothing else is left");
    truncate(in_dir("step-00000050/manifest.json"), 10);
    ok(saved(1, 45, 1), "an older step is saved, to keep one");
    is_str(listing(), "step-00000045 step-00000050",
           "the one just saved stays, the broken one is not touched");
    ok(newest_is(45), "and is found");
}

static uint64_t digest_of(const char *path)
{
    uint64_t digest = 0;

    is_int(dawn_checkpoint_digest(path, &digest, NULL), DAWN_OK,
           "%s has a digest", path);
    return digest;
}

static void test_digest(void)
{
    uint64_t untouched = 3;

    new_dir("digest");
    is_int(dawn_checkpoint_digest(dir, &untouched, NULL), DAWN_E_IO,
           "no folder has none");
    saved(2, 3, 0);
    uint64_t three = digest_of(dir);
    is_u64(digest_of(in_dir("step-00000003")), three,
           "a folder's digest is that of its newest checkpoint");
    saved(2, 4, 0);
    ok(digest_of(dir) != three, "other numbers, another digest");
    is_u64(digest_of(in_dir("step-00000003")), three,
           "the older one keeps its own");
    new_dir("digest-too");
    saved(2, 3, 0);
    is_u64(digest_of(dir), three, "the same numbers elsewhere, the same");
    mkdir(in_dir("empty"), 0777);
    is_int(dawn_checkpoint_digest(in_dir("empty"), &untouched, NULL), DAWN_E_IO,
           "a folder without checkpoints has none");
    is_u64(untouched, 3, "nothing is set then");
}

/* Change one byte in the middle of a file. */
static void flip(const char *path)
{
    int fd = open(path, O_RDWR);
    struct stat s;
    char c;

    fstat(fd, &s);
    ok(pread(fd, &c, 1, s.st_size / 2) == 1 &&
           (c ^= 1, pwrite(fd, &c, 1, s.st_size / 2) == 1),
       "a bit of %s is flipped", path);
    close(fd);
}

/* Damaged ones do not count, so that what a run would go on from stays. */
static void test_keep_whole(void)
{
    new_dir("whole");
    saved(3, 10, 2);
    saved(3, 20, 2);
    flip(in_dir("step-00000020/rank-1.safetensors"));
    ok(newest_is(10), "the one before the damaged one is whole");
    ok(saved(3, 30, 2), "a run goes on from it, to keep two");
    is_str(listing(), "step-00000010 step-00000020 step-00000030",
           "what it went on from stays, the damaged one does not count");
    flip(in_dir("step-00000030/rank-2.safetensors"));
    ok(newest_is(10), "the new one is damaged as well");
    ok(saved(2, 15, 2), "an older step is saved by two ranks");
    is_str(listing(), "step-00000010 step-00000015 step-00000020 step-00000030",
           "newer ones that are damaged do not count either");
    flip(in_dir("step-00000015/rank-0.safetensors"));
    ok(newest_is(10), "only the first one is whole");
    ok(saved(3, 40, 2) && newest_is(40), "it goes on once more");
    is_str(listing(),
           "step-00000010 step-00000015 step-00000020 step-00000030 "
           "step-00000040",
           "three damaged ones do not push it out");
    ok(saved(3, 50, 2) && newest_is(50), "and once more");
    is_str(listing(), "step-00000040 step-00000050",
           "two whole ones are enough, all older ones go");
    flip(in_dir("step-00000050/rank-0.safetensors"));
    ok(saved(3, 60, 3), "to keep three, where there are two");
    is_str(listing(), "step-00000040 step-00000050 step-00000060",
           "nothing is removed");
    ok(saved(3, 70, 1), "to keep one");
    is_str(listing(), "step-00000070", "it is the one just saved");
}

struct opener {
    pthread_t thread;
    struct dawn_comm *comm;
    uint64_t step;
    char skipped[2000];
};

static void *open_newest(void *arg)
{
    struct opener *opener = arg;
    struct dawn_checkpoint *ck = NULL;

    if (dawn_checkpoint_open(opener->comm, dir, &ck, NULL))
        return NULL;
    opener->step = dawn_checkpoint_step(ck);
    if (dawn_checkpoint_skipped(ck))
        snprintf(opener->skipped, sizeof opener->skipped, "%s",
                 dawn_checkpoint_skipped(ck));
    dawn_checkpoint_close(ck);
    return NULL;
}

static void test_broken(void)
{
    struct dawn_comm *comms[3];
    struct opener opener[3] = {0};
    struct dawn_checkpoint *ck = NULL;
    struct dawn_error err;

    new_dir("broken");
    is_int(dawn_checkpoint_open(NULL, dir, &ck, &err), DAWN_E_IO,
           "no folder: %s", err.text);
    for (uint64_t step = 1; step <= 5; step++)
        saved(3, step, 0);
    unlink(in_dir("step-00000005/rank-1.safetensors"));
    truncate(in_dir("step-00000004/rank-2.safetensors"), 1000);
    flip(in_dir("step-00000003/rank-2.safetensors"));
    unlink(in_dir("step-00000002/manifest.json"));
    mkdir(in_dir("step-9x"), 0777);
    mkdir(in_dir(".tmp-step-00000009"), 0777);
    dawn_comm_create_loopback(3, 20, comms, NULL);
    for (int i = 0; i < 3; i++) {
        opener[i].comm = comms[i];
        pthread_create(&opener[i].thread, NULL, open_newest, &opener[i]);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(opener[i].thread, NULL);
        is_u64(opener[i].step, 1, "rank %d passes over four broken ones", i);
        dawn_comm_destroy(comms[i]);
    }
    is_str(opener[1].skipped, opener[0].skipped, "all ranks know why");
    const char *why = opener[0].skipped;
    ok(strstr(why, "step-00000005/rank-1.safetensors: cannot open") &&
           strstr(why, "step-00000004/rank-2.safetensors: ") &&
           strstr(why, "step-00000003/rank-2.safetensors: xxh3") &&
           strstr(why, "step-00000002/manifest.json: cannot open") &&
           strstr(why, ": passed over, using ") &&
           !strcmp(why + strlen(why) - 14, "/step-00000001"),
       "%s", why);
    unlink(in_dir("step-00000001/manifest.json"));
    is_int(dawn_checkpoint_open(NULL, dir, &ck, &err), DAWN_E_FORMAT,
           "all are broken: %s", err.text);
    ok(!ck, "nothing was opened");
}

static void test_failures(void)
{
    struct job twice = {.ranks = 3, .step = 2, .same_name = true};
    struct job gone = {.ranks = 2, .step = 3, .abandon = true};
    struct job full = {.ranks = 2, .step = 4};
    struct rlimit before, small = {2000, RLIM_INFINITY};

    new_dir("failures");
    saved(2, 1, 0);
    ok(run(&twice) && !twice.begun && twice.finished == DAWN_E_INVAL,
       "one name on two ranks: %s", twice.err.text);
    is_str(listing(), "step-00000001", "nothing is left of it");

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    bool same = run(&full);
    setrlimit(RLIMIT_FSIZE, &before);
    ok(same && !full.begun && full.finished == DAWN_E_IO,
       "a file that cannot grow: %s", full.err.text);
    is_str(listing(), "step-00000001", "nothing is left of it");

    ok(run(&gone) && !gone.begun, "a save is abandoned");
    ok(newest_is(1), "the one before it is the newest");
    ok(saved(2, 5, 0), "the next one is saved");
    is_str(listing(), "step-00000001 step-00000005",
           "and removes what was left");
}

static void test_no_folder(void)
{
    struct job job = {.ranks = 2, .step = 1};
    FILE *file;

    snprintf(dir, sizeof dir, "%s/file", top);
    file = fopen(dir, "w");
    fclose(file);
    ok(run(&job) && job.begun == DAWN_E_IO, "a file in the way: %s",
       job.err.text);
    strcat(dir, "/below");
    ok(run(&job) && job.begun == DAWN_E_IO, "a file above: %s", job.err.text);
}

static void test_bf16(void)
{
    const uint16_t half[] = {0x3f80, 0xc040, 0x7f80, 1};
    struct dawn_checkpoint_tensor tensor = {"h",  DAWN_BF16, 1,   {4},
                                            half, NULL,      NULL};
    struct dawn_checkpoint_save *save = NULL;
    struct dawn_checkpoint *ck = NULL;
    struct dawn_comm *comm;
    float x[4] = {0};

    new_dir("bf16");
    dawn_comm_create_loopback(1, 5, &comm, NULL);
    struct dawn_checkpoint_save_opts opts = {
        .comm = comm, .dir = dir, .tensors = 1, .tensor = &tensor};
    dawn_checkpoint_save_begin(&opts, &save, NULL);
    is_int(dawn_checkpoint_save_finish(save, NULL), DAWN_OK, "bf16 is saved");
    dawn_checkpoint_open(comm, dir, &ck, NULL);
    struct dawn_checkpoint_part part = {"h", 1, tensor.shape, 1, 1, true};
    is_int(dawn_checkpoint_read_part(ck, &part, x, NULL), DAWN_OK,
           "one element of it");
    ok(x[0] == -3, "is the second, %g", (double)x[0]);
    part.count = 2;
    struct dawn_error err = {0};
    is_int(dawn_checkpoint_read_part(ck, &part, x, &err), DAWN_E_FORMAT,
           "one that is not finite is refused where all must be");
    ok(strstr(err.text, "tensor h: element 2 is inf") != NULL,
       "saying which: %s", err.text);
    part.count = tensor.shape[0];
    is_int(dawn_checkpoint_read_part(ck, &part, x, NULL), DAWN_E_INVAL,
           "more than it has");
    is_int(dawn_checkpoint_read(ck, "h", 1, tensor.shape, x, NULL), DAWN_OK,
           "and read as f32");
    ok(x[0] == 1 && x[1] == -3 && x[2] > 3e38f && x[3] == 0x1p-133f,
       "the numbers are the same");
    dawn_checkpoint_close(ck);
    dawn_comm_destroy(comm);
}

static struct dawn_checkpoint *saved_under(const struct dawn_job *job)
{
    struct dawn_checkpoint_save *save = NULL;
    struct dawn_checkpoint *ck = NULL;
    struct dawn_comm *comm;

    dawn_comm_create_loopback(1, 5, &comm, NULL);
    struct dawn_checkpoint_save_opts opts = {
        .comm = comm, .dir = dir, .job = job};
    ok(!dawn_checkpoint_save_begin(&opts, &save, NULL) &&
           !dawn_checkpoint_save_finish(save, NULL) &&
           !dawn_checkpoint_open(NULL, dir, &ck, NULL),
       "a checkpoint with a job's settings");
    dawn_comm_destroy(comm);
    return ck;
}

/* A rate of 1e-3 is no double: the text must read back as the same one. */
static void test_settings(void)
{
    static const char *const wanted[] = {
        "model: dropout: 0.1 then, 0 now", "data: format: bytes then, '' now",
        "train: lr: 0.001 then, 0.01 now",
        "passes: ewc: online: decay: 0 then, 0.5 now"};
    struct dawn_job job = {.model = {.preset = "gpt2", .dropout = 0.1},
                           .data = {.train = "a\377b", .format = "bytes"},
                           .train = {.steps = 10, .lr = 1e-3}};
    struct dawn_checkpoint_change change;
    char text[300];
    int number = 0, changes = 0;

    new_dir("settings");
    struct dawn_checkpoint *ck = saved_under(&job);
    is_str(dawn_checkpoint_string(ck, "job.train.lr"), "0.001",
           "they are strings");
    is_str(dawn_checkpoint_string(ck, "job.data.train"), "a\\xffb",
           "what is no UTF-8 is escaped");
    is_int(dawn_checkpoint_changes(ck, &job, "", text, sizeof text), 0,
           "the same job: nothing has changed%s", text);
    job.model.dropout = 0;
    job.data.format[0] = '\0';
    job.train.lr *= 10;
    job.ewc.decay = 0.5;
    for (; dawn_checkpoint_next_change(ck, &job, &number, &change); changes++) {
        dawn_checkpoint_change_text(&change, text, sizeof text);
        is_str(text, changes < 4 ? wanted[changes] : NULL, "change %d",
               changes);
    }
    is_int(changes, 4, "all are found");
    is_int(dawn_checkpoint_changes(ck, &job, "train.", text, sizeof text), 1,
           "one under train:");
    is_str(text, wanted[2], "the same text");
    is_int(dawn_checkpoint_changes(ck, &job, "", text, 100), 4, "in 100 bytes");
    is_str(text,
           "model: dropout: 0.1 then, 0 now; data: format: bytes then, '' now; "
           "and 2 more",
           "those that have room, and how many more");
    dawn_checkpoint_close(ck);
    new_dir("no-settings");
    ck = saved_under(NULL);
    is_int(dawn_checkpoint_changes(ck, &job, "", text, sizeof text), 0,
           "a checkpoint without settings tells of no changes");
    dawn_checkpoint_close(ck);
}

static void remove_all(void)
{
    char command[100];

    snprintf(command, sizeof command, "rm -rf '%s'", top);
    ok(system(command) == 0, "the test cleans up");
}

int main(void)
{
    plan_lazy();
    if (!ok(mkdtemp(top) != NULL, "a folder for the test"))
        return done_testing();
    test_ranks();
    test_keep();
    test_digest();
    test_keep_whole();
    test_broken();
    test_failures();
    test_no_folder();
    test_bf16();
    test_settings();
    remove_all();
    return done_testing();
}
