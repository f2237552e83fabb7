# SPDX-License-Identifier: Apache-2.0
AC_DEFUN([DAWN_CHECK_XXHASH], [
    PKG_CHECK_MODULES([XXHASH], [libxxhash >= 0.8], [],
        [AC_MSG_ERROR([xxhash not found (needed for the digests of graphs and files); apt install libxxhash-dev])])
])
