/* SPDX-License-Identifier: Apache-2.0 */
/* YAML in: what is accepted, and where and why the rest is not. */
#include "common/scratch.h"
#include "common/text.h"
#include "common/yaml.h"
#include "tap.h"

struct values {
    int n;
    int64_t i;
    uint64_t u, size, digest;
    double x;
    bool b;
    int choice;
    char word[8], string[8];
    const char *text;
    const struct dawni_yaml *list, *map;
};

static const char *const words[] = {"red", "green", "blue", NULL};

#define FIELD(...) DAWNI_YAML_FIELD(struct values, __VA_ARGS__)
static const struct dawni_yaml_field fields[] = {
    FIELD("layers", INT, n, .ilo = 1, .ihi = 4096),
    FIELD("i", I64, i, .ilo = -5, .ihi = INT64_MAX),
    FIELD("u", U64, u),
    FIELD("size", SIZE, size),
    FIELD("digest", DIGEST, digest),
    FIELD("x", DOUBLE, x, .lo = 0, .hi = 1),
    FIELD("b", BOOL, b),
    FIELD("choice", CHOICE, choice, .choices = words),
    FIELD("word", WORD, word, .choices = words),
    FIELD("string", STRING, string),
    FIELD("text", TEXT, text),
    FIELD("list", A_LIST, list),
    FIELD("map", A_MAP, map),
};

static enum dawn_status read_values(const char *text, struct values *v,
                                    struct dawni_yaml_doc **doc_p,
                                    struct dawn_error *err)
{
    enum dawn_status st;

    if ((st = dawni_yaml_parse("f", text, strlen(text), doc_p, err)))
        return st;
    return dawni_yaml_read(dawni_yaml_root(*doc_p), fields,
                           sizeof fields / sizeof *fields, v, err);
}

static void test_good(void)
{
    static const char text[] =
        "# a comment\n"
        "layers: 12\ni: -5\nu: 18446744073709551615\nsize: 600 MiB\n"
        "digest: xxh3:00000000000000ff\nx: 2.5e-1\nb: true\nchoice: blue\n"
        "word: red\nstring: 'a b'\ntext: \"t\\u00fc\"\nlist: [1, [2, 3]]\n"
        "map:\n  a: 1\n  b: {c: d}\n";
    struct dawni_yaml_doc *doc = NULL;
    struct values v = {0};
    struct dawn_error err = {DAWN_OK, ""};

    is_int(read_values(text, &v, &doc, &err), DAWN_OK, "all kinds are read %s",
           err.text);
    is_int(v.n, 12, "an integer");
    is_int(v.i, -5, "a negative one");
    is_u64(v.u, UINT64_MAX, "the largest one");
    is_u64(v.size, (uint64_t)600 << 20, "a size with a suffix");
    is_u64(v.digest, 255, "a digest");
    ok(v.x == 0.25 && v.b && v.choice == 2, "number, boolean, choice");
    is_str(v.word, "red", "a word");
    is_str(v.string, "a b", "a string");
    is_str(v.text, "t\303\274", "a string with an escape");
    is_int(v.list->items, 2, "a list");
    is_int(v.list->first->next->items, 2, "a list in it");
    const struct dawni_yaml *b = dawni_yaml_get(v.map, "b");
    is_str(dawni_yaml_get(b, "c")->text, "d", "a mapping in a mapping");
    is_int(b->line, 16, "a node knows its line");
    is_int(v.map->line, 14, "a mapping's is that of its key");
    dawni_yaml_destroy(doc);
}

static void test_sizes(void)
{
    const struct {
        const char *text;
        uint64_t wanted;
    } row[] = {{"size: 0", 0},
               {"size: 1048576", 1048576},
               {"size: 1152921504606846976", (uint64_t)1 << 60},
               {"size: 5B", 5},
               {"size: 2kB", 2000},
               {"size: 3MB", 3000000},
               {"size: 1.5GB", 1500000000},
               {"size: 1KiB", 1024},
               {"size: 1.5GiB", (uint64_t)3 << 29},
               {"size: 2TiB", (uint64_t)2 << 40},
               {"size: \"7 MiB\"", (uint64_t)7 << 20}};

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct dawni_yaml_doc *doc = NULL;
        struct values v = {0};
        read_values(row[i].text, &v, &doc, NULL);
        is_u64(v.size, row[i].wanted, "%s", row[i].text);
        dawni_yaml_destroy(doc);
    }
}

static const struct {
    const char *text, *wanted;
} bad[] = {
    {"layers: 0", "f:1: key 'layers': expected an integer from 1 to 4096, "
                  "found '0'"},
    {"b: true\nlayers: abc", "f:2: key 'layers': expected an integer from 1 "
                             "to 4096, found 'abc'"},
    {"layers: 5000", "found '5000'"},
    {"layers: 1.5", "found '1.5'"},
    {"layers: 0x10", "found '0x10'"},
    {"layers: 99999999999999999999", "found '99999999999999999999'"},
    {"layers:", "f:1: key 'layers': expected an integer from 1 to 4096, found "
                "nothing"},
    {"layers: [1]", "f:1: key 'layers': expected an integer from 1 to 4096, "
                    "found a list"},
    {"layers: {a: 1}", "found a mapping"},
    {"i: -6", "f:1: key 'i': expected an integer >= -5, found '-6'"},
    {"u: -1", "f:1: key 'u': expected an integer from 0 to "
              "18446744073709551615, found '-1'"},
    {"u: 18446744073709551616", "found '18446744073709551616'"},
    {"size: 1.5", "key 'size': expected a size such as 1048576, 600MiB or "
                  "1.5GB, found '1.5'"},
    {"size: -1", "found '-1'"},
    {"size: 12 parsecs", "found '12 parsecs'"},
    {"size: 1e30GiB", "key 'size': expected a size from 0 to "
                      "1152921504606846976 bytes, found '1e30GiB'"},
    {"size: 1152921504606846977", "found '1152921504606846977'"},
    {"size: 18446744073709551616", "expected a size from 0 to"},
    {"size: 1e300TiB", "expected a size from 0 to"},
    {"size: 0x10KiB", "found '0x10KiB'"},
    {"digest: xxh3:00000000000000FF", "expected xxh3: and 16 hexadecimal"},
    {"digest: xxh3:ff", "expected xxh3: and 16 hexadecimal"},
    {"x: 1.1", "f:1: key 'x': expected a number from 0 to 1, found '1.1'"},
    {"x: nan", "found 'nan'"},
    {"x: .inf", "found '.inf'"},
    {"x: 1e999", "found '1e999'"},
    {"x: 0x1p-1", "found '0x1p-1'"},
    {"x: 0,5", "found '0,5'"},
    {"b: yes", "f:1: key 'b': expected true or false, found 'yes'"},
    {"choice: pink", "f:1: key 'choice': expected red, green or blue, found "
                     "'pink'"},
    {"word: pink", "f:1: key 'word': expected red, green or blue, found"},
    {"string: 12345678", "f:1: key 'string': expected a string of at most 7 "
                         "bytes"},
    {"string: [a]", "f:1: key 'string': expected a string, found a list"},
    {"list: 1", "f:1: key 'list': expected a list, found '1'"},
    {"map:\n- 1", "f:1: key 'map': expected a mapping, found a list"},
    {"\n\nlayer: 1", "f:3: unknown key 'layer'; did you mean 'layers'?"},
    {"colour: 1", "f:1: unknown key 'colour'; known here: layers, i, u, size"},
    {"layers: 1\nb: true\nlayers: 2", "f:3: key 'layers' stands twice, first "
                                      "in line 1"},
    {"map: {a: 1, a: 2}", "f:1: key 'a' stands twice, first in line 1"},
    {"map: {a: 1, b: 2, c: 3, d: 4, e: 5, f: 6, g: 7, h: 8, i: 9, j: 1, k: 2,\n"
     " l: 3, m: 4, n: 5, o: 6, p: 7, q: 8,\n b: 9}",
     "f:3: key 'b' stands twice, first in line 1"},
    {"", "f:1: the file is empty"},
    {"# nothing\n", "f:1: the file is empty"},
    {"- 1", "f:1: expected a mapping, found a list"},
    {"text: &a 1", "f:1: anchors are not supported"},
    {"map: &a {}", "f:1: anchors are not supported"},
    {"list: &a []", "f:1: anchors are not supported"},
    {"text: *a", "f:1: aliases are not supported"},
    {"text: !!str 1", "f:1: tags are not supported"},
    {"list: !x []", "f:1: tags are not supported"},
    {"b: true\n---\nb: false", "f:2: a second document"},
    {"text: \"\\0\"", "f:1: a zero byte in a string"},
    {"[a]: 1", "f:1: a key must be a plain word"},
    {"? {a: b}\n: 1", "f:1: a key must be a plain word"},
    {"b: true\ntext: \"no end\n", "f:3: "},
    {"b: true\nlist: [1, 2\n", "f:3: "},
    {"b: true\n\ttext: 1", "f:2: "},
    {"b: true\ntext: \377", "f:2: "},
    {"list: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1", "f:1: more than 32 levels"},
    {"text: a: b", "f:1: "},
};

static void test_bad(void)
{
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dawni_yaml_doc *doc = NULL;
        struct values v = {0};
        struct dawn_error err = {DAWN_OK, ""};
        int st = read_values(bad[i].text, &v, &doc, &err);
        if (!ok(st == DAWN_E_FORMAT && !strncmp(err.text, "f:", 2) &&
                    strstr(err.text, bad[i].wanted),
                "refused: %s", err.text))
            diag("wanted %s", bad[i].wanted);
        dawni_yaml_destroy(doc);
    }
}

static void test_kind(void)
{
    const struct {
        const char *text, *wanted;
    } row[] = {{"dawn: plan/2", "f:1: key 'dawn': expected plan/1, found "
                                "'plan/2'"},
               {"plan: 1", "f:1: no \"dawn: plan/1\""},
               {"[1]", "f:1: expected a mapping"},
               {"dawn: [1]", "expected plan/1, found a list"}};
    struct dawni_yaml_doc *doc;
    struct dawn_error err;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        dawni_yaml_parse("f", row[i].text, strlen(row[i].text), &doc, NULL);
        ok(dawni_yaml_check_kind(doc, "plan/1", &err) == DAWN_E_FORMAT &&
               strstr(err.text, row[i].wanted),
           "%s: %s", row[i].text, err.text);
        dawni_yaml_destroy(doc);
    }
}

/* What the writer writes reads back as itself. */
static void test_round_trip(void)
{
    static const char *const s[] = {"",
                                    "a b",
                                    " lead",
                                    "trail ",
                                    "a\nb",
                                    "a\n",
                                    "\n\na",
                                    "- x",
                                    "#no",
                                    "a: b",
                                    "'q'",
                                    "\"q\"",
                                    "null",
                                    "1e5",
                                    "~",
                                    "\\",
                                    "\tx",
                                    "\r",
                                    "x\n\n",
                                    "\302\205",
                                    "\357\273\277",
                                    "\360\237\230\200",
                                    "  indented\n    more\n\n  last\n",
                                    "plain\nlines\n",
                                    "%",
                                    "[",
                                    "\177"};

    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        struct dawni_text t = {0};
        struct dawni_yaml_doc *doc = NULL;
        struct values v = {0};
        struct dawn_error err = {DAWN_OK, ""};
        dawni_text_add_block(&t, "text", s[i]);
        dawni_text_add(&t, "list: [");
        dawni_text_add_scalar(&t, s[i]);
        dawni_text_add(&t, ", ");
        dawni_text_add_scalar(&t, s[i]);
        dawni_text_add(&t, "]\n");
        read_values(t.data, &v, &doc, &err);
        is_str(v.text, s[i], "text %zu reads back as itself %s", i, err.text);
        is_str(v.list ? v.list->first->text : NULL, s[i], "in a list too");
        dawni_yaml_destroy(doc);
        dawni_text_clear(&t);
    }
}

static void test_locale(void)
{
    struct dawni_yaml_doc *doc = NULL;
    struct values v = {0};

    if (!scratch_comma_locale()) {
        skip("no locale with a decimal comma");
        return;
    }
    read_values("x: 0.5\nsize: 1.5kB", &v, &doc, NULL);
    ok(v.x == 0.5 && v.size == 1500,
       "a decimal comma of the locale changes nothing");
    dawni_yaml_destroy(doc);
    setlocale(LC_ALL, "C");
}

static void test_limits(void)
{
    size_t bytes = ((size_t)64 << 20) + 1;
    char *text = malloc(bytes);
    struct dawni_yaml_doc *doc = NULL;
    struct dawn_error err;

    memset(text, ' ', bytes);
    ok(dawni_yaml_parse("f", text, bytes, &doc, &err) == DAWN_E_FORMAT &&
           strstr(err.text, "larger than 64 MiB"),
       "too large a text is refused: %s", err.text);
    free(text);
    is_int(dawni_yaml_load("/nowhere/x.yaml", &doc, &err), DAWN_E_IO,
           "a missing file: %s", err.text);
    dawni_yaml_destroy(NULL);
}

int main(void)
{
    plan_lazy();
    scratch_make();
    test_good();
    test_sizes();
    test_bad();
    test_kind();
    test_round_trip();
    test_locale();
    test_limits();
    return done_testing();
}
