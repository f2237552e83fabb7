# SPDX-License-Identifier: Apache-2.0
# results.tsv of run.sh to a picture: held-out loss against lambda, English full
# lines, Spanish dashed, a point for each seed.
BEGIN {
    FS = "\t"
    width = 720; height = 420; left = 60; top = 30; right = 150; bottom = 50
    colour["english proximal"] = "#1b6ca8"
    colour["english gradient"] = "#c1440e"
    colour["proxy proximal"] = "#4f8a4c"
}
$2 == "base" || $2 == "none" { level(($2 == "base" ? "before" : "lambda 0"), $6, $7) }
$4 == "false" {
    name = $2 " " $3
    power = log($5) / log(10)
    if (!seen[name, power]++) { points[name]++; at[name, points[name]] = power }
    n = ++samples[name, power]
    en[name, power, n] = $6
    es[name, power, n] = $7
    if (low == "" || power < low) low = power
    if (high == "" || power > high) high = power
    reach($6); reach($7)
    names[name] = 1
}
function reach(loss) {
    if (loss + 0 > most) most = loss + 0
    if (least == "" || loss + 0 < least) least = loss + 0
}
function level(what, english, spanish) {
    levels[what, ++level_count[what]] = english
    levels_es[what, level_count[what]] = spanish
    reach(english); reach(spanish)
}
function px(power) {
    return left + (power - low) / (high > low ? high - low : 1) * (width - left - right)
}
function py(loss) { # the axis begins at the half below all
    return top + (most - loss) / (most - int(2 * least) / 2) * (height - top - bottom)
}
function mean(loss, key, count,    i, s) {
    for (i = 1; i <= count; i++) s += loss[key, i]
    return s / count
}
function line(name, spanish,    k, p, key, n, path) {
    for (k = 1; k <= points[name]; k++) {
        p = at[name, k]
        key = name SUBSEP p
        n = samples[key]
        path = path sprintf("%s%.1f %.1f", k > 1 ? "L" : "M", px(p),
                            py(spanish ? mean(es, key, n) : mean(en, key, n)))
    }
    printf "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\"%s/>\n", path, \
        colour[name], spanish ? " stroke-dasharray=\"5 3\"" : ""
}
function dots(name,    k, p, i) {
    for (k = 1; k <= points[name]; k++) {
        p = at[name, k]
        for (i = 1; i <= samples[name, p]; i++) {
            printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2\" fill=\"%s\"/>\n", px(p), py(en[name, p, i]), colour[name]
            printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2\" fill=\"none\" stroke=\"%s\"/>\n", px(p), py(es[name, p, i]), colour[name]
        }
    }
}
function text(x, y, what, anchor) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, what
}
function rule(what, spanish,    n, y) {
    n = level_count[what]
    if (!n) return
    y = py(spanish ? mean(levels_es, what, n) : mean(levels, what, n))
    printf "<path d=\"M%d %.1fH%d\" stroke=\"#999\" stroke-width=\"0.8\"%s/>\n", left, y, width - right, spanish ? " stroke-dasharray=\"5 3\"" : ""
    if (last_label != "" && y - last_label < 12 && last_label - y < 12)
        y += y < last_label ? -10 : 10
    last_label = y
    text(width - right + 6, y + 4, what (spanish ? ", Spanish" : ", English"), "start")
}
END {
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"11\">\n", width, height
    print "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    for (y = int(2 * least) / 2; y <= most; y += 0.5) {
        printf "<path d=\"M%d %.1fH%d\" stroke=\"#eee\"/>\n", left, py(y), width - right
        text(left - 6, py(y) + 4, sprintf("%.1f", y), "end")
    }
    for (p = low; p <= high; p += 2) text(px(p), height - bottom + 16, "1e" p, "middle")
    text((left + width - right) / 2, height - 12, "lambda", "middle")
    text(left, top - 12, "held-out loss, nats a byte: English full, Spanish dashed", "start")
    rule("before", 0); rule("lambda 0", 0); rule("lambda 0", 1)
    y = top + 10
    for (name in colour) {
        if (!(name in names)) continue
        line(name, 0); line(name, 1); dots(name)
    }
    split("english proximal,english gradient,proxy proximal", order, ",")
    for (k = 1; k <= 3; k++) {
        if (!(order[k] in names)) continue
        printf "<path d=\"M%d %dh18\" stroke=\"%s\" stroke-width=\"3\"/>\n", width - right + 6, height - bottom - 60 + 18 * k, colour[order[k]]
        text(width - right + 28, height - bottom - 56 + 18 * k, order[k], "start")
    }
    print "</svg>"
}
