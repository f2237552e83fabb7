/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint's manifest with absurd figures: refused with the key. */
#include "ckpt/manifest.h"
#include "common/absurd.h"
#include "common/scratch.h"
#include "tap.h"

static const char manifest[] =
    "{\"dawn\": \"checkpoint/1\", \"step\": 100, \"strings\": {},\n"
    " \"files\": [{\"name\": \"rank-0.safetensors\", \"bytes\": 4096,\n"
    "  \"xxh3\": \"0123456789abcdef\"}],\n"
    " \"tensors\": [{\"name\": \"wte\", \"dtype\": \"F32\",\n"
    "  \"shape\": [256, 64],\n"
    "  \"file\": 0}]}\n";

static void check(const struct absurd *a)
{
    struct dawni_manifest *m = NULL;
    struct dawn_error err = {0};
    char key[80];
    enum dawn_status st =
        dawni_manifest_read(scratch_write("manifest.json", a->text), &m, &err);

    snprintf(key, sizeof key, "key '%s'", a->key);
    if (strcmp(a->value, "0") == 0)
        ok(!st, "%s: 0 is read %s", a->key, err.text);
    else
        ok(st == DAWN_E_FORMAT && strstr(err.text, "manifest.json") &&
               (strstr(err.text, key) || strstr(err.text, "manifest.json:")),
           "%s: %.20s is refused: %s", a->key, a->value, err.text);
    dawni_manifest_destroy(m);
}

int main(void)
{
    struct dawni_manifest *m = NULL;
    struct dawn_error err = {0};

    plan_lazy();
    scratch_make();
    is_int(
        dawni_manifest_read(scratch_write("manifest.json", manifest), &m, &err),
        DAWN_OK, "a manifest is read %s", err.text);
    dawni_manifest_destroy(m);
    is_int(absurd_each(manifest, check), 4, "every figure was tried");
    return done_testing();
}
