# SPDX-License-Identifier: Apache-2.0
AC_DEFUN([DAWN_CHECK_OPENMP], [
    AC_OPENMP
    AS_IF([test -z "$OPENMP_CFLAGS"],
        [AC_MSG_ERROR([$CC has no OpenMP (needed by the host device); with clang: apt install libomp-dev])])
])
