/* SPDX-License-Identifier: Apache-2.0 */
/* Status codes and error text.
 *
 * Every function that can fail returns `enum dawn_status` and takes a
 * `struct dawn_error *` last, which may be NULL and need not be initialised: it
 * is written on failure only. Results leave through `_p` parameters, which are
 * untouched on failure.
 * Thread-safety: all functions here are re-entrant.
 */
#ifndef DAWNPIPER_STATUS_H
#define DAWNPIPER_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DAWN_API __attribute__((visibility("default")))
#define DAWN_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define DAWN_API
#define DAWN_PRINTF(f, a)
#endif

#define DAWN_STATUS_MAP(X)                                                     \
    X(OK, 0, "success")                                                        \
    X(E_INVAL, -1, "invalid argument")                                         \
    X(E_NOMEM, -2, "out of memory")                                            \
    X(E_IO, -3, "input or output failed")                                      \
    X(E_FORMAT, -4, "malformed input")                                         \
    X(E_MISMATCH, -5, "made for something else")                               \
    X(E_NOFIT, -6, "does not fit the memory")                                  \
    X(E_NOTSUP, -7, "not supported here")                                      \
    X(E_TIMEOUT, -8, "no progress in time")                                    \
    X(E_COMM, -9, "communication failed")                                      \
    X(E_NUMERIC, -10, "not a finite number")                                   \
    X(E_DEVICE, -11, "the device failed")                                      \
    X(E_USER, -12, "a callback failed")

enum dawn_status {
#define DAWN_STATUS_ENUM(name, number, text) DAWN_##name = number,
    DAWN_STATUS_MAP(DAWN_STATUS_ENUM)
#undef DAWN_STATUS_ENUM
};

struct dawn_error {
    enum dawn_status status;
    char text[1000]; /* one line, no newline; "FILE:LINE: ..." for bad files */
};

/* Record why something failed, and return `status`.
 *
 *   err     may be NULL; text longer than the buffer is cut
 *   status  what to return
 *   format  printf style, without a newline
 *
 * Whoever decides which error it is calls this, once; callers pass it on.
 */
DAWN_API enum dawn_status dawn_fail(struct dawn_error *err,
                                    enum dawn_status status, const char *format,
                                    ...) DAWN_PRINTF(3, 4);
#ifdef __clang_analyzer__ /* show static analysis that it returns `status` */
#define dawn_fail(err, status, ...)                                            \
    ((void)(dawn_fail)(err, status, __VA_ARGS__), (status))
#endif

/* "E_INVAL" and "invalid argument"; "?" for a number that is no status. */
DAWN_API const char *dawn_status_name(enum dawn_status status);
DAWN_API const char *dawn_status_text(enum dawn_status status);

/* The version that a program is compiled for, as numbers and as text. */
#define DAWN_VERSION_MAJOR 0
#define DAWN_VERSION_MINOR 1
#define DAWN_VERSION_PATCH 0
#define DAWN_VERSION "0.1.0"

/* That of the library that it runs with, "major.minor.patch". Static storage. */
DAWN_API const char *dawn_version(void);

#ifdef __cplusplus
}
#endif

#endif
