# SPDX-License-Identifier: Apache-2.0
# results.tsv of run.sh to a table in Markdown: medians over the seeds, and the
# least and the most. `kept` is what is left of what was learned of English,
# (untrained - after) / (untrained - base); `against forgetting` is the part of
# what lambda 0 forgets that is not forgotten.
BEGIN { FS = "\t" }
{
    key = $2 " " $3 " " $4 " " $5
    if (!(key in count)) order[++keys] = key
    i = ++count[key]
    english[key, i] = $6
    spanish[key, i] = $7
    if ($2 == "untrained") none[$1] = $6
    if ($2 == "base") { base[$1] = $6; base_es[$1] = $7 }
    if ($2 == "none") { zero[$1] = $6; zero_es[$1] = $7 }
    seed[key, i] = $1
}
function median(x, n,    i, k, t) {
    for (i = 2; i <= n; i++)
        for (k = i; k > 1 && x[k] < x[k - 1]; k--) {
            t = x[k]; x[k] = x[k - 1]; x[k - 1] = t
        }
    return n % 2 ? x[(n + 1) / 2] : (x[n / 2] + x[n / 2 + 1]) / 2
}
function spread(x, n, format,    middle) {
    middle = median(x, n)
    return sprintf(n > 1 ? format " (" format " to " format ")" : format, middle,
                   x[1], x[n])
}
function column(what, key, format,    i, s, x) {
    for (i = 1; i <= count[key]; i++) {
        s = seed[key, i]
        if (what == "english") x[i] = english[key, i]
        if (what == "spanish") x[i] = spanish[key, i]
        if (what == "kept")
            x[i] = 100 * (none[s] - english[key, i]) / (none[s] - base[s])
        if (what == "against")
            x[i] = 100 * (zero[s] - english[key, i]) / (zero[s] - base[s])
        if (what == "ratio") x[i] = spanish[key, i] / zero_es[s]
    }
    return spread(x, count[key], format)
}
END {
    print "| Fisher of | form | lambda | English | kept % | against forgetting % | Spanish | / lambda 0 |"
    print "|---|---|---|---|---|---|---|---|"
    for (k = 1; k <= keys; k++) {
        split(order[k], part, " ")
        if (part[1] == "untrained") continue
        name = part[1] == "base" ? "before Spanish" : part[1] == "none" ? "no EWC" : part[1]
        lambda = part[4] (part[3] == "true" ? " / mean F" : "")
        print "| " name " | " part[2] " | " lambda " | " column("english", order[k], "%.3f") \
            " | " column("kept", order[k], "%.1f") " | " column("against", order[k], "%.1f") \
            " | " column("spanish", order[k], "%.3f") " | " column("ratio", order[k], "%.3f") " |"
    }
}
