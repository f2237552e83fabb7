# SPDX-License-Identifier: Apache-2.0
AC_DEFUN([DAWN_CHECK_HWLOC], [
    PKG_CHECK_MODULES([HWLOC], [hwloc >= 2.0], [],
        [AC_MSG_ERROR([hwloc 2 not found (needed to pin threads and to describe machines); apt install libhwloc-dev])])
])
