/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files, and the text that is written to them. */
#include "common/file.h"
#include "common/scratch.h"
#include "common/text.h"
#include "tap.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void test_read(void)
{
    struct dawn_error err;
    char *data = NULL;
    size_t bytes = 0;

    scratch_write("a", "hello");
    is_int(dawni_file_read(scratch_path("a"), 5, &data, &bytes, &err), DAWN_OK,
           "a file of as many bytes as allowed is read");
    is_u64(bytes, 5, "it has 5 bytes");
    is_str(data, "hello", "they are these, and a zero byte behind");
    free(data);
    is_int(dawni_file_read(scratch_path("a"), 4, &data, &bytes, &err),
           DAWN_E_IO, "a larger one is refused");
    ok(strstr(err.text, "larger than 4 bytes") != NULL, "saying so: %s",
       err.text);
    is_int(dawni_file_read(scratch_path("none"), 4, &data, &bytes, &err),
           DAWN_E_IO, "a missing one too");
    ok(strstr(err.text, "none: cannot open: No such file") != NULL,
       "saying so: %s", err.text);
    is_int(dawni_file_read(scratch_folder, 99, &data, &bytes, &err), DAWN_E_IO,
           "a folder cannot be read: %s", err.text);
    is_int(dawni_file_read("/proc/self/status", 1 << 20, &data, &bytes, &err),
           DAWN_OK, "a file that tells no size is read");
    ok(bytes > 100 && bytes == strlen(data), "to its end");
    free(data);
    is_int(dawni_file_read("/dev/zero", 100000, &data, &bytes, &err), DAWN_E_IO,
           "an endless one ends at the limit");
}

/* What is said of a pipe that nobody writes into. */
static void test_pipe(void)
{
    struct dawn_error err;
    const void *map;
    uint64_t map_bytes;
    char path[32], *data = NULL;
    size_t bytes = 0;
    int end[2];

    alarm(20); /* were it waited for */
    is_int(mkfifo(scratch_path("pipe"), 0600), 0, "there is a pipe");
    is_int(dawni_file_read(scratch_path("pipe"), 9, &data, &bytes, &err),
           DAWN_E_IO, "it is not read");
    ok(strstr(err.text, "pipe: is no regular file") != NULL, "saying so: %s",
       err.text);
    is_int(dawni_file_map(scratch_path("pipe"), &map, &map_bytes, &err),
           DAWN_E_IO, "nor mapped");
    ok(strstr(err.text, "pipe: is no regular file") != NULL, "saying so: %s",
       err.text);
    unlink(scratch_path("pipe"));
    is_int(pipe(end), 0, "there is one without a name");
    is_int((int)write(end[1], "hello", 5), 5, "and 5 bytes in it");
    close(end[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", end[0]);
    is_int(dawni_file_read(path, 9, &data, &bytes, &err), DAWN_OK,
           "that is read, as %s", path);
    is_str(data, "hello", "to its end");
    free(data);
    close(end[0]);
    alarm(0);
}

static bool holds(const char *name, const char *wanted)
{
    char *text = scratch_read(name);
    bool same = text && !strcmp(text, wanted);

    free(text);
    return same;
}

/* The disk is full, as far as this process can tell. */
static void test_full(void)
{
    struct rlimit before, none = {0, 0};
    struct dawn_error err;

    getrlimit(RLIMIT_FSIZE, &before);
    none.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
    int st = dawni_file_write(scratch_path("b"), "third", 5, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    is_int(st, DAWN_E_IO, "a full disk is an error: %s", err.text);
    ok(holds("b", "second"), "what was in the file before is still there");
}

static void test_write(void)
{
    struct dawn_error err;
    struct stat s;
    int files;

    is_int(dawni_file_write(scratch_path("b"), "first", 5, &err), DAWN_OK,
           "a new file is written");
    chmod(scratch_path("b"), 0640);
    is_int(dawni_file_write(scratch_path("b"), "second", 6, &err), DAWN_OK,
           "an existing one is replaced");
    ok(holds("b", "second"), "it holds what was written");
    stat(scratch_path("b"), &s);
    is_int(s.st_mode & 0777, 0640, "its mode is kept");
    files = scratch_files();
    test_full();
    is_int(dawni_file_write(scratch_path("no/b"), "x", 1, &err), DAWN_E_IO,
           "a folder that is not there is an error: %s", err.text);
    is_int(dawni_file_write(scratch_folder, "x", 1, &err), DAWN_E_IO,
           "so is a folder in place of the file: %s", err.text);
    is_int(scratch_files(), files, "no temporary file stays");
    if (symlink("b", scratch_path("link")) == 0) {
        dawni_file_write(scratch_path("link"), "fourth", 6, &err);
        lstat(scratch_path("link"), &s);
        ok(S_ISLNK(s.st_mode) && holds("b", "fourth"),
           "through a link, the file is replaced and the link stays");
    }
    is_int(dawni_file_write("/dev/null", "x", 1, &err), DAWN_OK,
           "what is no regular file is written to as it is");
}

static void test_doubles(void)
{
    const struct {
        double x;
        const char *wanted;
    } row[] = {{0, "0"},
               {-0.0, "-0"},
               {1, "1"},
               {-3, "-3"},
               {0.1, "0.1"},
               {1e-5, "1.0e-05"},
               {1.5e-5, "1.5e-05"},
               {123456789012, "123456789012"},
               {1e22, "1.0e+22"},
               {0.1 + 0.2, "0.30000000000000004"},
               {DBL_MAX, "1.7976931348623157e+308"},
               {5e-324, "4.94065645841247e-324"}};
    char text[DAWNI_DOUBLE_ROOM];

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        is_str(dawni_double_text(row[i].x, text), row[i].wanted,
               "%s is written like that", row[i].wanted);
        ok(strtod(text, NULL) == row[i].x, "and reads back as the same");
    }
}

static void test_locale(void)
{
    char text[DAWNI_DOUBLE_ROOM];

    if (!scratch_comma_locale()) {
        skip("no locale with a decimal comma");
        return;
    }
    snprintf(text, sizeof text, "%g", 0.5);
    is_str(text, "0,5", "a locale with a decimal comma is on");
    is_str(dawni_double_text(0.5, text), "0.5", "a point stays a point");
    setlocale(LC_ALL, "C");
}

static void test_scalars(void)
{
    const struct {
        const char *s, *wanted;
    } row[] = {{"block0.attn.qkv", "block0.attn.qkv"},
               {"/tmp/a-b", "/tmp/a-b"},
               {"", "\"\""},
               {"true", "\"true\""},
               {"No", "\"No\""},
               {"12", "\"12\""},
               {"1f1b", "1f1b"},
               {"0x1f", "\"0x1f\""},
               {"1e5", "\"1e5\""},
               {"-", "\"-\""},
               {"a: b", "\"a: b\""},
               {"a,b", "\"a,b\""},
               {"a \"b\" \\", "\"a \\\"b\\\" \\\\\""},
               {"a\nb\t", "\"a\\nb\\u0009\""},
               {"z\303\274rich", "\"z\303\274rich\""},
               {"\302\205", "\"\\u0085\""}};
    struct dawni_text t;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        t = (struct dawni_text){0};
        dawni_text_add_scalar(&t, row[i].s);
        is_str(t.data, row[i].wanted, "%s is written so that it stays a string",
               row[i].wanted);
        dawni_text_clear(&t);
    }
}

static void test_escapes(void)
{
    static const struct {
        const char *s, *wanted;
    } row[] = {{"", ""},
               {"z\303\274rich", "z\303\274rich"},
               {"a\377\303(\303", "a\\xff\\xc3(\\xc3"},
               {"\355\240\200", "\\xed\\xa0\\x80"}};

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *escaped = dawni_utf8_escape(row[i].s);
        is_str(escaped, row[i].wanted, "bytes %zu as UTF-8", i);
        free(escaped);
    }
}

static void test_failures(void)
{
    static const char *const bad[] = {"\377", "\303", "\300\200",
                                      "\355\240\200", "\364\220\200\200"};
    struct dawni_text t = {0};
    struct dawn_error err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dawni_text_add_scalar(&t, bad[i]);
        is_int(t.error.status, DAWN_E_INVAL, "malformed UTF-8 %zu fails", i);
        dawni_text_clear(&t);
    }
    scratch_write("kept", "kept");
    dawni_text_add(&t, "x: ");
    dawni_text_add_double(&t, NAN);
    dawni_text_add(&t, "\n");
    is_int(dawni_text_save(&t, scratch_path("kept"), &err), DAWN_E_NUMERIC,
           "a NaN cannot be written: %s", err.text);
    ok(holds("kept", "kept"), "the file is then untouched");
    dawni_text_clear(&t);
    is_int(dawni_text_save(&t, scratch_path("empty"), &err), DAWN_OK,
           "an empty text is an empty file");
}

int main(void)
{
    plan_lazy();
    scratch_make();
    test_read();
    test_pipe();
    test_write();
    test_doubles();
    test_locale();
    test_scalars();
    test_escapes();
    test_failures();
    return done_testing();
}
