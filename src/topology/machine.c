/* SPDX-License-Identifier: Apache-2.0 */
/* A machine, and machine.yaml. */
#include "common/array.h"
#include "common/text.h"
#include "common/yaml.h"

#include <dawnpiper/machine.h>
#include <stdio.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
#define MAX_DEVICES 4096
#define MOST_SPREAD 1e9
#define MAX_TIERS 64
#define LATENCY_NS 2000
#define BYTES_PER_S 5e9

struct dawn_machine {
    int devices, tiers, tier_room;
    struct dawn_machine_device *device;
    struct dawn_machine_link *link; /* [from * devices + to] */
    struct dawn_machine_tier *tier;
    char *notes;
};

enum dawn_status dawn_machine_create(int devices,
                                     struct dawn_machine **machine_p,
                                     struct dawn_error *err)
{
    struct dawn_machine *m = NULL;

    if (devices < 1 || devices > MAX_DEVICES)
        return dawn_fail(err, DAWN_E_INVAL, "devices %d, must be 1 to %d",
                         devices, MAX_DEVICES);
    size_t links = (size_t)devices * (size_t)devices;
    if (!(m = calloc(1, sizeof *m)) ||
        !(m->device = calloc((size_t)devices, sizeof *m->device)) ||
        !(m->link = malloc(links * sizeof *m->link)) ||
        !(m->notes = strdup(""))) {
        dawn_machine_destroy(m);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d devices",
                         devices);
    }
    m->devices = devices;
    for (int i = 0; i < devices; i++)
        m->device[i] = (struct dawn_machine_device){
            .name = "", .kind = "host", .speed = 1};
    for (size_t i = 0; i < links; i++)
        m->link[i] = (struct dawn_machine_link){LATENCY_NS, BYTES_PER_S, 0};
    *machine_p = m;
    return DAWN_OK;
}

void dawn_machine_destroy(struct dawn_machine *m)
{
    if (!m)
        return;
    free(m->device);
    free(m->link);
    free(m->tier);
    free(m->notes);
    free(m);
}

int dawn_machine_devices(const struct dawn_machine *m)
{
    return m->devices;
}

struct dawn_machine_device *dawn_machine_device(const struct dawn_machine *m,
                                                int device)
{
    return device >= 0 && device < m->devices ? &m->device[device] : NULL;
}

struct dawn_machine_link *dawn_machine_link(const struct dawn_machine *m, int a,
                                            int b)
{
    if (a < 0 || a >= m->devices || b < 0 || b >= m->devices)
        return NULL;
    return &m->link[(size_t)a * (size_t)m->devices + (size_t)b];
}

int dawn_machine_tiers(const struct dawn_machine *m)
{
    return m->tiers;
}

struct dawn_machine_tier *dawn_machine_tier(const struct dawn_machine *m,
                                            int tier)
{
    return tier >= 0 && tier < m->tiers ? &m->tier[tier] : NULL;
}

enum dawn_status dawn_machine_add_tier(struct dawn_machine *m,
                                       const struct dawn_machine_tier *tier,
                                       struct dawn_error *err)
{
    if (m->tiers == MAX_TIERS)
        return dawn_fail(err, DAWN_E_INVAL, "more than %d tiers", MAX_TIERS);
    if (!dawni_array_reserve(&m->tier, &m->tier_room, m->tiers + 1))
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a tier");
    m->tier[m->tiers++] = *tier;
    return DAWN_OK;
}

enum dawn_status dawn_machine_set_notes(struct dawn_machine *m,
                                        const char *notes,
                                        struct dawn_error *err)
{
    char *copy = strdup(notes);

    if (!copy)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for notes");
    free(m->notes);
    m->notes = copy;
    return DAWN_OK;
}

static enum dawn_status check_select(const struct dawn_machine *m,
                                     const int *device, int devices,
                                     struct dawn_error *err)
{
    for (int i = 0; i < devices; i++) {
        if (device[i] < 0 || device[i] >= m->devices)
            return dawn_fail(err, DAWN_E_INVAL, "device %d, must be 0 to %d",
                             device[i], m->devices - 1);
        for (int k = 0; k < i; k++)
            if (device[k] == device[i])
                return dawn_fail(err, DAWN_E_INVAL, "device %d twice",
                                 device[i]);
    }
    return DAWN_OK;
}

enum dawn_status dawn_machine_select(const struct dawn_machine *m,
                                     const int *device, int devices,
                                     struct dawn_machine **machine_p,
                                     struct dawn_error *err)
{
    struct dawn_machine *s = NULL;
    enum dawn_status st = check_select(m, device, devices, err);

    if (!st)
        st = dawn_machine_create(devices, &s, err);
    for (int i = 0; i < devices && !st; i++) {
        s->device[i] = m->device[device[i]];
        for (int k = 0; k < devices; k++)
            *dawn_machine_link(s, i, k) =
                *dawn_machine_link(m, device[i], device[k]);
    }
    for (int i = 0; i < m->tiers && !st; i++)
        st = dawn_machine_add_tier(s, &m->tier[i], err);
    if (!st)
        st = dawn_machine_set_notes(s, m->notes, err);
    if (st)
        dawn_machine_destroy(s);
    else
        *machine_p = s;
    return st;
}

const char *dawn_machine_notes(const struct dawn_machine *m)
{
    return m->notes;
}

/* Append to the text what is unsteady; false: it is full. */
static bool name_unsteady(char *text, size_t room, const char *name,
                          double spread)
{
    size_t used = strlen(text);
    int n = snprintf(text + used, room - used, "%s%s (spread %.1f)",
                     used ? ", " : "", name, spread);

    if (n >= 0 && (size_t)n < room - used)
        return true;
    text[used] = '\0';
    return false;
}

const char *dawn_machine_unsteady(const struct dawn_machine *m, char *text,
                                  size_t room)
{
    bool space = room > 0;
    char name[48];

    if (room)
        *text = '\0';
    for (int a = 0; a < m->devices; a++)
        for (int b = a; b < m->devices && space; b++) {
            double spread = dawn_machine_link(m, a, b)->spread;
            snprintf(name, sizeof name, "link %d-%d", a, b);
            if (spread > DAWN_MACHINE_STEADY)
                space = name_unsteady(text, room, name, spread);
        }
    for (int i = 0; i < m->tiers && space; i++)
        if (m->tier[i].spread > DAWN_MACHINE_STEADY)
            space =
                name_unsteady(text, room, m->tier[i].kind, m->tier[i].spread);
    return text;
}

/* Writing */

static void write_device(struct dawni_text *t,
                         const struct dawn_machine_device *d)
{
    dawni_text_add(t, "- {name: ");
    dawni_text_add_scalar(t, d->name);
    dawni_text_add(t, ", kind: ");
    dawni_text_add_scalar(t, d->kind);
    dawni_text_addf(t, ", memory_bytes: %llu, cores: %d, speed: ",
                    (unsigned long long)d->memory_bytes, d->cores);
    dawni_text_add_double(t, d->speed);
    dawni_text_add(t, "}\n");
}

static void write_spread(struct dawni_text *t, double spread)
{
    if (spread > 0) {
        dawni_text_add(t, ", spread: ");
        dawni_text_add_double(t, spread);
    }
}

static void write_link(struct dawni_text *t, const struct dawn_machine_link *l)
{
    dawni_text_add(t, "latency_ns: ");
    dawni_text_add_double(t, l->latency_ns);
    dawni_text_add(t, ", bytes_per_s: ");
    dawni_text_add_double(t, l->bytes_per_s);
    write_spread(t, l->spread);
    dawni_text_add(t, "}\n");
}

/* The first pair's link is the default; what differs is a line of its own. */
static void write_links(struct dawni_text *t, const struct dawn_machine *m)
{
    const struct dawn_machine_link *base =
        dawn_machine_link(m, 0, m->devices > 1);
    bool first = true;

    dawni_text_add(t, "links:\n  default: {");
    write_link(t, base);
    for (int a = 0; a < m->devices; a++)
        for (int b = 0; b < m->devices; b++) {
            const struct dawn_machine_link *l = dawn_machine_link(m, a, b);
            if (l->latency_ns == base->latency_ns &&
                l->bytes_per_s == base->bytes_per_s &&
                l->spread == base->spread)
                continue;
            dawni_text_addf(t, "%s  - {from: %d, to: %d, ",
                            first ? "  pairs:\n" : "", a, b);
            write_link(t, l);
            first = false;
        }
}

static void write_tier(struct dawni_text *t, const struct dawn_machine_tier *x)
{
    dawni_text_add(t, "- {kind: ");
    dawni_text_add_scalar(t, x->kind);
    dawni_text_add(t, ", path: ");
    dawni_text_add_scalar(t, x->path);
    dawni_text_add(t, ", read_bytes_per_s: ");
    dawni_text_add_double(t, x->read_bytes_per_s);
    dawni_text_add(t, ", write_bytes_per_s: ");
    dawni_text_add_double(t, x->write_bytes_per_s);
    dawni_text_add(t, ", latency_ns: ");
    dawni_text_add_double(t, x->latency_ns);
    dawni_text_add(t, ", compute_ns_per_byte: ");
    dawni_text_add_double(t, x->compute_ns_per_byte);
    dawni_text_addf(t, ", capacity_bytes: %llu",
                    (unsigned long long)x->capacity_bytes);
    write_spread(t, x->spread);
    dawni_text_add(t, "}\n");
}

enum dawn_status dawn_machine_save(const struct dawn_machine *m,
                                   const char *path, struct dawn_error *err)
{
    struct dawni_text t = {0};
    enum dawn_status st;

    dawni_text_add(&t, "dawn: machine/1\ndevices:\n");
    for (int i = 0; i < m->devices; i++)
        write_device(&t, &m->device[i]);
    write_links(&t, m);
    dawni_text_add(&t, m->tiers ? "tiers:\n" : "");
    for (int i = 0; i < m->tiers; i++)
        write_tier(&t, &m->tier[i]);
    if (*m->notes)
        dawni_text_add_block(&t, "notes", m->notes);
    st = dawni_text_save(&t, path, err);
    dawni_text_clear(&t);
    return st;
}

/* Reading */

struct top {
    const char *kind, *notes;
    const struct dawni_yaml *devices, *links, *tiers;
};

#define FIELD(...) DAWNI_YAML_FIELD(struct top, __VA_ARGS__)
static const struct dawni_yaml_field top_fields[] = {
    FIELD("dawn", TEXT, kind),
    FIELD("devices", A_LIST, devices, .required = true),
    FIELD("links", A_MAP, links),
    FIELD("tiers", A_LIST, tiers),
    FIELD("notes", TEXT, notes),
};
#undef FIELD

static const char *const device_kinds[] = {"host", "cuda", NULL};
static const char *const tier_kinds[] = {"ssd", "host", NULL};

#define FIELD(...) DAWNI_YAML_FIELD(struct dawn_machine_device, __VA_ARGS__)
static const struct dawni_yaml_field device_fields[] = {
    FIELD("name", STRING, name),
    FIELD("kind", WORD, kind, .choices = device_kinds),
    FIELD("memory_bytes", SIZE, memory_bytes),
    FIELD("cores", INT, cores, .ihi = 1 << 20),
    FIELD("speed", DOUBLE, speed, .lo = DAWNI_LEAST_SPEED,
          .hi = DAWNI_MOST_SPEED),
};
#undef FIELD

#define FIELD(...) DAWNI_YAML_FIELD(struct dawn_machine_tier, __VA_ARGS__)
static const struct dawni_yaml_field tier_fields[] = {
    FIELD("kind", WORD, kind, .choices = tier_kinds, .required = true),
    FIELD("path", STRING, path),
    FIELD("read_bytes_per_s", DOUBLE, read_bytes_per_s,
          .lo = DAWNI_LEAST_BYTES_PER_S, .hi = DAWNI_MOST_BYTES_PER_S,
          .required = true),
    FIELD("write_bytes_per_s", DOUBLE, write_bytes_per_s,
          .lo = DAWNI_LEAST_BYTES_PER_S, .hi = DAWNI_MOST_BYTES_PER_S,
          .required = true),
    FIELD("latency_ns", DOUBLE, latency_ns, .hi = DAWNI_MOST_NS),
    FIELD("compute_ns_per_byte", DOUBLE, compute_ns_per_byte,
          .hi = DAWNI_MOST_NS_PER_BYTE),
    FIELD("capacity_bytes", SIZE, capacity_bytes),
    FIELD("spread", DOUBLE, spread, .lo = 0, .hi = MOST_SPREAD),
};
#undef FIELD

struct pair {
    int from, to;
    struct dawn_machine_link link;
};

#define FIELD(...) DAWNI_YAML_FIELD(struct pair, __VA_ARGS__)
static const struct dawni_yaml_field pair_fields[] = {
    FIELD("from", INT, from, .ihi = MAX_DEVICES - 1, .required = true),
    FIELD("to", INT, to, .ihi = MAX_DEVICES - 1, .required = true),
    FIELD("latency_ns", DOUBLE, link.latency_ns, .hi = DAWNI_MOST_NS),
    FIELD("bytes_per_s", DOUBLE, link.bytes_per_s,
          .lo = DAWNI_LEAST_BYTES_PER_S, .hi = DAWNI_MOST_BYTES_PER_S),
    FIELD("spread", DOUBLE, link.spread, .lo = 0, .hi = MOST_SPREAD),
};
#undef FIELD

struct links {
    const struct dawni_yaml *base, *pairs;
};

#define FIELD(...) DAWNI_YAML_FIELD(struct links, __VA_ARGS__)
static const struct dawni_yaml_field links_fields[] = {
    FIELD("default", A_MAP, base),
    FIELD("pairs", A_LIST, pairs),
};
#undef FIELD

static enum dawn_status read_links(const struct dawni_yaml *map,
                                   struct dawn_machine *m,
                                   struct dawn_error *err)
{
    struct links links = {0};
    struct pair base = {.link = m->link[0]};
    enum dawn_status st;

    if ((st = dawni_yaml_read(map, links_fields, COUNT(links_fields), &links,
                              err)))
        return st;
    if (links.base &&
        (st = dawni_yaml_read(links.base, pair_fields + 2,
                              COUNT(pair_fields) - 2, &base, err)))
        return st;
    for (int i = 0; i < m->devices * m->devices; i++)
        m->link[i] = base.link;
    const struct dawni_yaml *at = links.pairs ? links.pairs->first : NULL;
    for (; at; at = at->next) {
        struct pair pair = base;
        pair.link.spread = 0;
        if ((st = dawni_yaml_read(at, pair_fields, COUNT(pair_fields), &pair,
                                  err)))
            return st;
        struct dawn_machine_link *link =
            dawn_machine_link(m, pair.from, pair.to);
        if (!link)
            return dawni_yaml_fail(at, DAWN_E_FORMAT, err,
                                   "link from %d to %d, devices are 0 to %d",
                                   pair.from, pair.to, m->devices - 1);
        *link = pair.link;
    }
    return DAWN_OK;
}

static enum dawn_status read_tiers(const struct dawni_yaml *list,
                                   struct dawn_machine *m,
                                   struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    if (list->items > MAX_TIERS)
        return dawni_yaml_fail(list, DAWN_E_FORMAT, err,
                               "%d tiers, must be at most %d", list->items,
                               MAX_TIERS);
    for (const struct dawni_yaml *at = list->first; at && !st; at = at->next) {
        struct dawn_machine_tier tier = {0};
        st = dawni_yaml_read(at, tier_fields, COUNT(tier_fields), &tier, err);
        if (!st)
            st = dawn_machine_add_tier(m, &tier, err);
    }
    return st;
}

static enum dawn_status read_all(const struct top *top, struct dawn_machine *m,
                                 struct dawn_error *err)
{
    struct dawn_machine_device *device = m->device;
    enum dawn_status st;

    for (const struct dawni_yaml *at = top->devices->first; at; at = at->next)
        if ((st = dawni_yaml_read(at, device_fields, COUNT(device_fields),
                                  device++, err)))
            return st;
    if (top->links && (st = read_links(top->links, m, err)))
        return st;
    if (top->tiers && (st = read_tiers(top->tiers, m, err)))
        return st;
    return top->notes ? dawn_machine_set_notes(m, top->notes, err) : DAWN_OK;
}

static enum dawn_status read_machine(const struct dawni_yaml_doc *doc,
                                     struct dawn_machine **machine_p,
                                     struct dawn_error *err)
{
    struct dawn_machine *m;
    struct top top = {0};
    enum dawn_status st;

    if ((st = dawni_yaml_check_kind(doc, "machine/1", err)))
        return st;
    if ((st = dawni_yaml_read(dawni_yaml_root(doc), top_fields,
                              COUNT(top_fields), &top, err)))
        return st;
    if (top.devices->items < 1 || top.devices->items > MAX_DEVICES)
        return dawni_yaml_fail(top.devices, DAWN_E_FORMAT, err,
                               "%d devices, must be 1 to %d",
                               top.devices->items, MAX_DEVICES);
    if ((st = dawn_machine_create(top.devices->items, &m, err)))
        return st;
    if ((st = read_all(&top, m, err))) {
        dawn_machine_destroy(m);
        return st;
    }
    *machine_p = m;
    return DAWN_OK;
}

enum dawn_status dawn_machine_load(const char *path,
                                   struct dawn_machine **machine_p,
                                   struct dawn_error *err)
{
    struct dawni_yaml_doc *doc;
    enum dawn_status st;

    if ((st = dawni_yaml_load(path, &doc, err)))
        return st;
    st = read_machine(doc, machine_p, err);
    dawni_yaml_destroy(doc);
    return st;
}
