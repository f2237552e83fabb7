# SPDX-License-Identifier: Apache-2.0
AC_DEFUN([DAWN_CHECK_JANSSON], [
    PKG_CHECK_MODULES([JANSSON], [jansson >= 2.13], [],
        [AC_MSG_ERROR([jansson not found (needed to read and write JSON); apt install libjansson-dev])])
])
