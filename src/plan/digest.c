/* SPDX-License-Identifier: Apache-2.0 */
/* What predictions are of: a digest of all that a person may change in a plan
 * and that makes the step another one.
 */
#include "common/hash.h"
#include "graph/graph.h"
#include "plan/plan.h"

uint64_t dawn_plan_digest(const struct dawn_plan *plan)
{
    const struct dawn_plan_info *info = &plan->info;
    const struct dawn_graph *g = plan->graph;
    struct dawni_hash hash;

    dawni_hash_init(&hash);
    dawni_hash_add_u64(&hash, info->graph_digest);
    dawni_hash_add_str(&hash, info->schedule);
    dawni_hash_add_u64(&hash, (uint64_t)info->ranks);
    dawni_hash_add_u64(&hash, (uint64_t)info->microbatches);
    dawni_hash_add_u64(&hash, (uint64_t)info->microbatch);
    if (info->update_every)
        dawni_hash_add_u64(&hash, (uint64_t)info->update_every);
    for (int i = 0; i < g->nodes; i++)
        dawni_hash_add_u64(&hash, (uint64_t)g->node[i].number);
    for (int x = 0; x < plan->stages; x++) {
        dawni_hash_add_u64(&hash, (uint64_t)plan->stage[x].rank);
        dawni_hash_add_u64(&hash, (uint64_t)plan->stage[x].first);
        if (plan->stage[x].replicas > 1)
            dawni_hash_add_u64(&hash, (uint64_t)plan->stage[x].replicas);
    }
    dawni_hash_add(&hash, plan->decision,
                   (size_t)plan->stages * (size_t)g->tensors);
    for (int i = 0; i < g->params; i++)
        if (plan->optimizer[i] != DAWN_KEEP) {
            dawni_hash_add_u64(&hash, (uint64_t)i);
            dawni_hash_add_u64(&hash, plan->optimizer[i]);
        }
    for (int i = 0; i < plan->devices; i++)
        dawni_hash_add_str(&hash, plan->device[i]);
    if (*info->passes)
        dawni_hash_add_str(&hash, info->passes);
    return dawni_hash_end(&hash);
}

bool dawn_plan_edited(const struct dawn_plan *plan)
{
    return plan->info.priced_digest &&
           plan->info.priced_digest != dawn_plan_digest(plan);
}
