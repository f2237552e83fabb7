# SPDX-License-Identifier: Apache-2.0
# This version has the host device only: --with-cuda=yes is refused rather than
# ignored.
AC_DEFUN([DAWN_CHECK_CUDA], [
    AC_ARG_WITH([cuda],
        [AS_HELP_STRING([--with-cuda=no|auto],
            [build the CUDA device (not in this version)])],
        [], [with_cuda=auto])
    AS_CASE([$with_cuda],
        [no|auto], [dawn_cuda=no],
        [AC_MSG_ERROR([--with-cuda=$with_cuda: this version has no CUDA device])])
])
