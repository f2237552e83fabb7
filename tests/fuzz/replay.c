/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target without libFuzzer: every file of its seed corpus
 * (tests/fuzz/corpus/NAME), and mutations of it by a fixed generator.
 */
#include "fuzz/fuzz.h"
#include "tap.h"

#include <dirent.h>
#include <string.h>

#define MUTATIONS 200

static uint32_t state;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)state * below) >> 32);
}

/* A few bytes changed, or the end cut off, or a piece written twice. */
static size_t mutate(uint8_t *data, size_t size)
{
    size_t changes = 1 + draw(4);

    if (size == 0)
        return 0;
    if (draw(4) == 0)
        return draw((uint32_t)size);
    if (draw(4) == 0) {
        size_t from = draw((uint32_t)size), to = draw((uint32_t)size);
        size_t longest = size - (from > to ? from : to);

        memmove(data + to, data + from, draw((uint32_t)longest + 1));
    }
    while (changes--)
        data[draw((uint32_t)size)] = (uint8_t)draw(256);
    return size;
}

static uint8_t *read_file(const char *path, size_t *size_p)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0, got;

    if (!file)
        return NULL;
    do {
        data = realloc(data, size + 65536);
        if (!data)
            abort();
        got = fread(data + size, 1, 65536, file);
        size += got;
    } while (got > 0);
    fclose(file);
    *size_p = size;
    return data;
}

static void replay(const char *path, const char *name)
{
    size_t size = 0;
    uint8_t *data = read_file(path, &size);
    uint8_t *copy = malloc(size + 1);

    if (!ok(data && copy, "%s can be read", name)) {
        free(data);
        free(copy);
        return;
    }
    LLVMFuzzerTestOneInput(data, size);
    state = 1;
    for (int i = 0; i < MUTATIONS; i++) {
        memcpy(copy, data, size);
        LLVMFuzzerTestOneInput(copy, mutate(copy, size));
    }
    ok(true, "%s and %d mutations of it do not crash the reader", name,
       MUTATIONS);
    free(copy);
    free(data);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    const char *top = getenv("top_srcdir");
    const char *slash = strrchr(argv[0], '/');
    struct dirent **entry = NULL;
    char folder[2048], path[4096];
    int entries;

    snprintf(folder, sizeof folder, "%s/tests/fuzz/corpus/%s",
             top ? top : ".", slash ? slash + 1 : argv[0]);
    plan_lazy();
    entries = scandir(folder, &entry, visible, alphasort);
    ok(entries > 0, "%s has seeds", folder);
    for (int i = 0; i < entries; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        replay(path, entry[i]->d_name);
        free(entry[i]);
    }
    free(entry);
    return done_testing();
}
