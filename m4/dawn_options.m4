# SPDX-License-Identifier: Apache-2.0

# DAWN_ENABLE_WERROR: --enable-werror makes warnings errors.
AC_DEFUN([DAWN_ENABLE_WERROR], [
    AC_ARG_ENABLE([werror],
        [AS_HELP_STRING([--enable-werror], [make compiler warnings errors])],
        [], [enable_werror=no])
    AS_IF([test "x$enable_werror" = xyes],
        [AC_SUBST([WERROR_CFLAGS], [-Werror])])
])

# DAWN_ENABLE_SANITIZERS: --enable-sanitizers[=LIST]. A shared object built by
# clang leaves the sanitizer's symbols to the program, so -z defs is dropped.
AC_DEFUN([DAWN_ENABLE_SANITIZERS], [
    AC_ARG_ENABLE([sanitizers],
        [AS_HELP_STRING([--enable-sanitizers@<:@=LIST@:>@],
            [build with sanitizers (default LIST: address,undefined)])],
        [], [enable_sanitizers=no])
    AS_CASE([$enable_sanitizers],
        [no], [dawn_sanitizers=none],
        [yes], [dawn_sanitizers=address,undefined],
        [dawn_sanitizers=$enable_sanitizers])
    AS_IF([test "$dawn_sanitizers" = none],
        [AC_SUBST([DEFS_LDFLAGS], [-Wl,-z,defs])],
        [flags="-fsanitize=$dawn_sanitizers -fno-omit-frame-pointer"
         AC_SUBST([SANITIZER_CFLAGS],
            ["$flags -fno-sanitize-recover=undefined"])
         save_CFLAGS=$CFLAGS
         CFLAGS="$CFLAGS $SANITIZER_CFLAGS"
         AC_LINK_IFELSE([AC_LANG_PROGRAM], [],
            [AC_MSG_ERROR([$CC cannot link $flags])])
         CFLAGS=$save_CFLAGS])
])

# DAWN_ENABLE_FUZZERS: --enable-fuzzers links tests/fuzz with libFuzzer. Without
# it they are plain programs that replay their seed corpus in make check.
AC_DEFUN([DAWN_ENABLE_FUZZERS], [
    AC_ARG_ENABLE([fuzzers],
        [AS_HELP_STRING([--enable-fuzzers],
            [link the fuzz targets with libFuzzer (needs CC=clang)])],
        [], [enable_fuzzers=no])
    dawn_fuzzers=$enable_fuzzers
    AS_IF([test "$enable_fuzzers" != no],
        [save_CFLAGS=$CFLAGS
         CFLAGS="$CFLAGS -fsanitize=fuzzer-no-link"
         AC_LINK_IFELSE([AC_LANG_PROGRAM], [],
            [AC_MSG_ERROR([$CC has no libFuzzer (needed by --enable-fuzzers); use CC=clang])])
         CFLAGS=$save_CFLAGS
         AC_SUBST([FUZZER_CFLAGS], [-fsanitize=fuzzer-no-link])
         AC_SUBST([FUZZER_LDFLAGS], [-fsanitize=fuzzer])])
    AM_CONDITIONAL([FUZZERS], [test "$enable_fuzzers" != no])
])
