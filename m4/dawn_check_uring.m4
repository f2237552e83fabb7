# SPDX-License-Identifier: Apache-2.0
AC_DEFUN([DAWN_CHECK_URING], [
    PKG_CHECK_MODULES([URING], [liburing >= 2.3], [],
        [AC_MSG_ERROR([liburing not found (needed to offload tensors to disk); apt install liburing-dev])])
])
