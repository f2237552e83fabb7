# SPDX-License-Identifier: Apache-2.0

# DAWN_CHECK_CFLAGS(VARIABLE, FLAGS): substitute VARIABLE by those of FLAGS that
# the compiler takes.
AC_DEFUN([DAWN_CHECK_CFLAGS], [
    $1=
    save_CFLAGS=$CFLAGS
    for flag in m4_normalize([$2]); do
        CFLAGS="$save_CFLAGS -Werror $flag"
        AC_MSG_CHECKING([whether $CC takes $flag])
        AC_COMPILE_IFELSE([AC_LANG_PROGRAM],
            [AC_MSG_RESULT([yes])
             $1="$$1 $flag"],
            [AC_MSG_RESULT([no])])
    done
    CFLAGS=$save_CFLAGS
    AC_SUBST([$1])
])
