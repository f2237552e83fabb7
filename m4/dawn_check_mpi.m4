# SPDX-License-Identifier: Apache-2.0
# Open MPI's flags from pkg-config, so that CC stays the plain compiler.
AC_DEFUN([DAWN_CHECK_MPI], [
    PKG_CHECK_MODULES([MPI], [ompi-c >= 4.0], [],
        [AC_MSG_ERROR([Open MPI not found (needed by the mpi transport); apt install libopenmpi-dev])])
    AC_PATH_PROG([MPIRUN], [mpirun])
    AS_IF([test -z "$MPIRUN"],
        [AC_MSG_ERROR([mpirun not found (needed to run the tests); apt install openmpi-bin])])
])
