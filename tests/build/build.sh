#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# scripts/build.sh with stand-ins for what it calls: what it does again, what it
# skips, and a tree that was configured in place.
set -u
: "${top_srcdir:=.}"
n=0

report() { # STATUS CLAIM
    n=$((n + 1))
    [ "$1" -eq 0 ] && echo "ok $n - $2" || echo "not ok $n - $2"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
top=$work/clone
mkdir -p "$top/scripts" "$work/bin"
cp "$top_srcdir/scripts/build.sh" "$top/scripts"
cat > "$top/bootstrap" <<END
#!/bin/sh
echo bootstrap >> "$work/calls"
printf '#!/bin/sh\necho configure \$* >> "$work/calls"\ntouch Makefile\n' \
    > "$top/configure"
chmod +x "$top/configure"
END
printf '#!/bin/sh\necho make >> "%s"\n' "$work/calls" > "$work/bin/make"
chmod +x "$top/bootstrap" "$work/bin/make"
PATH=$work/bin:$PATH

calls() { # WANTED CLAIM OPTION...
    wanted=$1 claim=$2
    shift 2
    rm -f "$work/calls"
    "$top/scripts/build.sh" "$top/build" "$@" > "$work/out" 2>&1
    status=$?
    [ "$(tr '\n' ' ' < "$work/calls" 2>/dev/null)" = "$wanted" ]
    same=$?
    report $same "$claim"
    [ $same -eq 0 ] || sed 's/^/# /' "$work/out"
}

calls 'bootstrap configure -q --one make ' "the first time: everything" --one
[ $status -eq 0 ]
report $? "it ends well"
calls 'make ' "the second time: make" --one
calls 'configure -q --two make ' "other options: configured anew" --two

touch "$top/config.status"
calls '' "a tree configured in place: nothing is begun" --two
[ $status -eq 1 ] && grep -q "make -C $top distclean" "$work/out"
report $? "and it says what to do"
echo "1..$n"
