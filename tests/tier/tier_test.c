/* SPDX-License-Identifier: Apache-2.0 */
/* Tiers give back what they were given, whatever moves at one time; failures
 * are errors, and nothing is left on the disk.
 */
#include "tier/tier.h"
#include "common/clock.h"
#include "common/random.h"
#include "common/scratch.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define TENSORS 24
#define ARENA (64 << 20)

static char *arena; /* of TENSORS slots */

static const struct kind {
    const char *name, *ops;
    bool disk, no_uring;
} kinds[] = {
    {"disk", NULL, true, false},
    {"disk without io_uring", "thread", true, true},
    {"host memory", "thread", false, false},
};

#define KINDS (sizeof kinds / sizeof kinds[0])

static const char *folder(void)
{
    static char dir[300];

    snprintf(dir, sizeof dir, "%s", scratch_path("x"));
    *strrchr(dir, '/') = 0;
    return dir;
}

static struct dawni_tier *make(const struct kind *k, uint64_t room)
{
    struct dawni_tier_opts opts = {
        .folder = k->disk ? folder() : NULL,
        .room_bytes = room,
        .arena = arena,
        .arena_bytes = ARENA,
        .no_uring = k->no_uring,
    };
    struct dawni_tier *tier = NULL;
    struct dawn_error err = {0};

    if (!is_int(dawni_tier_create(&opts, &tier, &err), DAWN_OK, "%s: made %s",
                k->name, err.text))
        return NULL;
    diag("%s by %s", k->name, tier->ops->name);
    if (k->ops)
        is_str(tier->ops->name, k->ops, "%s: by a thread", k->name);
    return tier;
}

static enum dawn_status wait_for(struct dawni_tier *tier, struct dawni_io *io,
                                 struct dawn_error *err)
{
    uint64_t from = dawni_now_ns();
    enum dawn_status st = DAWN_OK;

    while (!dawni_tier_test(tier, io, &st, err))
        if (dawni_now_ns() - from > 50000000000u)
            return dawn_fail(err, DAWN_E_TIMEOUT, "nothing moves");
    return st;
}

/* Bytes of tensor i, a few pages to several pieces of a transfer. */
static uint64_t bytes_of(int i)
{
    return PAGE * (1 + dawni_philox(3, 0, (uint64_t)i).v[0] %
                           (i % 8 == 7 ? 2200 : 200));
}

static void fill(char *data, uint64_t bytes, int seed)
{
    for (uint64_t i = 0; i < bytes; i += 8) {
        uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u + (uint64_t)seed;
        memcpy(data + i, &x, 8);
    }
}

static bool holds(const char *data, uint64_t bytes, int seed)
{
    for (uint64_t i = 0; i < bytes; i += 8) {
        uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u + (uint64_t)seed;
        if (memcmp(data + i, &x, 8) != 0)
            return false;
    }
    return true;
}

/* All are written, then each is read while the next rounds are written. */
static void test_moves(const struct kind *k)
{
    static struct dawni_io io[TENSORS];
    struct dawn_error err = {0};
    uint64_t at = 0;
    int wrong = 0, failed = 0;

    for (int i = 0; i < TENSORS; i++) {
        io[i] = (struct dawni_io){
            .data = arena + at, .place = at, .bytes = bytes_of(i)};
        at += io[i].bytes;
    }
    struct dawni_tier *tier = at <= ARENA ? make(k, at) : NULL;
    if (!ok(tier != NULL, "%s: %llu bytes", k->name, (unsigned long long)at))
        return;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < TENSORS; i++) {
            fill(io[i].data, io[i].bytes, 100 * round + i);
            io[i].is_read = false;
            dawni_tier_start(tier, &io[i]);
        }
        for (int i = 0; i < TENSORS; i++) {
            failed += wait_for(tier, &io[i], &err) != DAWN_OK;
            memset(io[i].data, 0, io[i].bytes);
            io[i].is_read = true;
            dawni_tier_start(tier, &io[i]);
        }
        for (int i = TENSORS - 1; i >= 0; i--) {
            failed += wait_for(tier, &io[i], &err) != DAWN_OK;
            wrong += !holds(io[i].data, io[i].bytes, 100 * round + i);
        }
    }
    is_int(failed, 0, "%s: all transfers end %s", k->name, err.text);
    is_int(wrong, 0, "%s: everything comes back", k->name);
    dawni_tier_destroy(tier);
}

/* Destroyed with transfers under way. */
static void test_destroy(const struct kind *k)
{
    struct dawni_io io[2] = {
        {.data = arena, .bytes = 16 << 20},
        {.data = arena + (16 << 20), .place = 16 << 20, .bytes = 16 << 20}};
    struct dawni_tier *tier = make(k, 32 << 20);

    if (!tier)
        return;
    dawni_tier_start(tier, &io[0]);
    dawni_tier_start(tier, &io[1]);
    dawni_tier_destroy(tier);
    ok(atomic_load(&io[0].done) && atomic_load(&io[1].done),
       "%s: what is under way is ended first", k->name);
}

static void test_nothing_left(void)
{
    DIR *dir = opendir(folder());
    int files = 0;

    for (struct dirent *d; (d = readdir(dir));)
        files += d->d_name[0] != '.';
    closedir(dir);
    is_int(files, 0, "no file is left, nor ever seen");
}

/* Replace the file behind a tier by another one. */
static void swap_file(const struct dawni_tier *tier, const char *path, int how)
{
    int file = open(path, how);

    if (file < 0 || dup2(file, dawni_tier_uring_file(tier)) < 0)
        abort();
    close(file);
}

static void test_failing(void)
{
    struct dawni_tier *tier = make(&kinds[0], 8 << 20);
    struct dawni_io io = {.data = arena, .bytes = 8 << 20};
    struct dawn_error err = {0};

    if (!tier || strcmp(tier->ops->name, "io_uring") != 0) {
        skip("no io_uring here");
        dawni_tier_destroy(tier);
        return;
    }
    swap_file(tier, "/dev/full", O_WRONLY);
    dawni_tier_start(tier, &io);
    is_int(wait_for(tier, &io, &err), DAWN_E_IO, "a write that fails: %s",
           err.text);
    ok(strstr(err.text, folder()) && strstr(err.text, "No space left"),
       "names the disk and the reason");
    swap_file(tier, "/dev/null", O_RDONLY);
    io.is_read = true;
    dawni_tier_start(tier, &io);
    is_int(wait_for(tier, &io, &err), DAWN_E_IO, "a read that ends early: %s",
           err.text);
    dawni_tier_destroy(tier);
}

static void test_no_room(void)
{
    struct rlimit limit = {1 << 20, RLIM_INFINITY};
    struct dawni_tier_opts opts = {.folder = folder(), .room_bytes = 4 << 20};
    struct dawni_tier *tier = NULL;
    struct dawn_error err = {0};

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    is_int(dawni_tier_create(&opts, &tier, &err), DAWN_E_IO,
           "a disk without room: %s", err.text);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    opts.folder = "/nonexistent";
    is_int(dawni_tier_create(&opts, &tier, &err), DAWN_E_IO,
           "no such folder: %s", err.text);
    ok(strstr(err.text, "/nonexistent") && strstr(err.text, "No such file"),
       "names the folder and the reason");
    ok(!tier, "nothing was made");
    dawni_tier_destroy(NULL);
}

/* From now on file systems cannot set room aside. */
static bool forbid_fallocate(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog all = {sizeof code / sizeof *code, code};

    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all);
}

/* In a process of its own, whose exit status is 1 where it cannot try, and 2
 * where that fails. */
static void test_no_fallocate(void)
{
    struct dawni_tier_opts opts = {.folder = folder(), .room_bytes = 4 << 20};
    struct dawni_tier *tier = NULL;
    int status = 0;
    pid_t child = fork();

    if (!child) {
        if (!forbid_fallocate())
            _exit(1);
        status = dawni_tier_create(&opts, &tier, NULL) ? 2 : 0;
        dawni_tier_destroy(tier);
        _exit(status);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        status = -1;
    else
        status = WEXITSTATUS(status);
    if (status == 1)
        skip("no seccomp here");
    else
        is_int(status, 0, "a file system that cannot set room aside will do");
}

int main(void)
{
    plan_lazy();
    scratch_make();
    arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (arena == MAP_FAILED)
        abort();
    for (size_t i = 0; i < KINDS; i++) {
        test_moves(&kinds[i]);
        test_destroy(&kinds[i]);
    }
    test_failing();
    test_no_fallocate();
    test_nothing_left();
    test_no_room();
    munmap(arena, ARENA);
    return done_testing();
}
