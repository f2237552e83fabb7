# SPDX-License-Identifier: Apache-2.0
AC_DEFUN([DAWN_CHECK_YAML], [
    PKG_CHECK_MODULES([YAML], [yaml-0.1 >= 0.2], [],
        [AC_MSG_ERROR([libyaml not found (needed to read jobs, profiles and plans); apt install libyaml-dev])])
])
