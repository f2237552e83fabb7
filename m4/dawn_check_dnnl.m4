# SPDX-License-Identifier: Apache-2.0
# oneDNN 2.x: version 3 took away the *_desc_init calls.
AC_DEFUN([DAWN_CHECK_DNNL], [
    AC_CHECK_HEADER([dnnl.h], [],
        [AC_MSG_ERROR([dnnl.h not found (needed by the host device); apt install libdnnl-dev])])
    AC_CHECK_LIB([dnnl], [dnnl_matmul_desc_init],
        [AC_SUBST([DNNL_LIBS], [-ldnnl])],
        [AC_MSG_ERROR([libdnnl 2.x not found (needed by the host device); apt install libdnnl-dev])])
])
