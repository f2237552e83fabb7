# SPDX-License-Identifier: Apache-2.0
AC_DEFUN([DAWN_CHECK_RANDOM123], [
    AC_CHECK_HEADER([Random123/philox.h], [],
        [AC_MSG_ERROR([Random123/philox.h not found (needed for counter-based random numbers); apt install librandom123-dev])])
])
