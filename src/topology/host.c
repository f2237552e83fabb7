/* SPDX-License-Identifier: Apache-2.0 */
#include "topology/host.h"
#include "common/text.h"

#include <hwloc.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The tree: an object a line, its children indented below it down to the cores.
 * Neighbours that are alike, with all below them, are printed once. */

struct line {
    char text[256];
};

static uint64_t bytes_of(hwloc_obj_t object)
{
    if (hwloc_obj_type_is_cache(object->type))
        return object->attr->cache.size;
    if (object->type == HWLOC_OBJ_NUMANODE)
        return object->attr->numanode.local_memory;
    return object->type == HWLOC_OBJ_MACHINE ? object->total_memory : 0;
}

static void describe(hwloc_obj_t object, struct line *line)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB"};
    const char *model = hwloc_obj_get_info_by_name(object, "CPUModel");
    uint64_t bytes = bytes_of(object);
    char type[64], size[32] = "";
    int i = 0;

    while (i < 3 && bytes >= 10 * 1024) {
        bytes = (bytes + 512) / 1024;
        i++;
    }
    if (bytes)
        snprintf(size, sizeof size, " %" PRIu64 " %s", bytes, unit[i]);
    hwloc_obj_type_snprintf(type, sizeof type, object, 0);
    snprintf(line->text, sizeof line->text, "%s%s%s%.100s%s", type, size,
             model ? " (" : "", model ? model : "", model ? ")" : "");
}

static bool is_alike(hwloc_obj_t a, hwloc_obj_t b);

static bool are_alike(hwloc_obj_t a, hwloc_obj_t b)
{
    for (; a && b; a = a->next_sibling, b = b->next_sibling)
        if (!is_alike(a, b))
            return false;
    return !a && !b;
}

static bool is_alike(hwloc_obj_t a, hwloc_obj_t b)
{
    struct line x, y;

    describe(a, &x);
    describe(b, &y);
    return strcmp(x.text, y.text) == 0 &&
           are_alike(a->memory_first_child, b->memory_first_child) &&
           are_alike(a->first_child, b->first_child);
}

static void add_objects(struct dawni_text *text, hwloc_obj_t first, int depth)
{
    struct line line;

    for (hwloc_obj_t next; first; first = next) {
        int count = 1;
        for (next = first->next_sibling; next && is_alike(first, next);
             next = next->next_sibling)
            count++;
        describe(first, &line);
        dawni_text_addf(text, "%*s", 2 * depth, "");
        if (count > 1)
            dawni_text_addf(text, "%d x ", count);
        dawni_text_addf(text, "%s\n", line.text);
        add_objects(text, first->memory_first_child, depth + 1);
        if (first->type != HWLOC_OBJ_CORE)
            add_objects(text, first->first_child, depth + 1);
    }
}

/* The host */

static int count_cores(hwloc_topology_t topology)
{
    int cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);

    if (cores < 1) /* some virtual machines show processing units only */
        cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
    return cores < 1 ? 1 : cores;
}

static enum dawn_status fill(hwloc_topology_t topology, struct dawni_host *host,
                             struct dawn_error *err)
{
    hwloc_obj_t root = hwloc_get_root_obj(topology);
    struct dawni_text text = {0};

    add_objects(&text, root, 0);
    if (text.error.status) {
        dawni_text_clear(&text);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for the topology");
    }
    host->tree = text.data;
    host->cores = count_cores(topology);
    host->memory_bytes = root->total_memory;
    host->all_nodes =
        hwloc_bitmap_isequal(hwloc_topology_get_allowed_nodeset(topology),
                             hwloc_topology_get_complete_nodeset(topology));
    return DAWN_OK;
}

/* description: NULL: this host */
static enum dawn_status read_topology(const char *description,
                                      struct dawni_host *host,
                                      struct dawn_error *err)
{
    hwloc_topology_t topology;
    enum dawn_status st;

    if (hwloc_topology_init(&topology))
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for the topology");
    if ((description && hwloc_topology_set_synthetic(topology, description)) ||
        hwloc_topology_load(topology))
        st = dawn_fail(err, DAWN_E_NOTSUP, "hwloc cannot read the topology%s%s",
                       description ? " " : "", description ? description : "");
    else
        st = fill(topology, host, err);
    hwloc_topology_destroy(topology);
    return st;
}

enum dawn_status dawni_host_read_synthetic(const char *description,
                                           struct dawni_host *host,
                                           struct dawn_error *err)
{
    *host = (struct dawni_host){.name = "synthetic"};
    return read_topology(description, host, err);
}

/* What the control group allows, UINT64_MAX when it says nothing. */
static uint64_t group_limit(void)
{
    static const char *const path[] = {
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    };
    uint64_t limit = UINT64_MAX;

    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(path[i], "re");
        if (!file)
            continue;
        if (fscanf(file, "%" SCNu64, &limit) != 1)
            limit = UINT64_MAX; /* "max" */
        fclose(file);
        break;
    }
    return limit;
}

/* 0: not known. */
static uint64_t meminfo_total(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    uint64_t kib = 0;

    if (file && fscanf(file, "MemTotal: %" SCNu64, &kib) != 1)
        kib = 0;
    if (file)
        fclose(file);
    return kib * 1024;
}

uint64_t dawni_host_memory(uint64_t nodes, bool all, uint64_t meminfo,
                           uint64_t limit)
{
    uint64_t bytes = all && meminfo > nodes ? meminfo : nodes;

    return bytes < limit ? bytes : limit;
}

enum dawn_status dawni_host_read(struct dawni_host *host,
                                 struct dawn_error *err)
{
    enum dawn_status st;

    *host = (struct dawni_host){.name = ""};
    if (gethostname(host->name, sizeof host->name - 1))
        strcpy(host->name, "host");
    if ((st = read_topology(NULL, host, err)))
        return st;
    host->memory_bytes = dawni_host_memory(host->memory_bytes, host->all_nodes,
                                           meminfo_total(), group_limit());
    return DAWN_OK;
}
