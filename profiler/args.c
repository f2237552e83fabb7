/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of a program; see args.h. */
#include "args.h"
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { KEY_USAGE = 1000 };

static const struct argp_option common_options[] = {
    {"help", '?', NULL, 0, "print this help and exit", -1},
    {NULL, 'h', NULL, OPTION_HIDDEN, NULL, -1},
    {"usage", KEY_USAGE, NULL, 0, "print a short help and exit", -1},
    {"version", 'V', NULL, 0, "print the version and exit", -1},
    {0},
};

static const char *program;

void wrong(const char *format, ...)
{
    va_list list;

    fprintf(stderr, "%s: ", program);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, " (see %s --help)\n", program);
    exit(2);
}

bool args_overwrites(const char *output, const char *input)
{
    struct stat o, i;

    return output && input && stat(output, &o) == 0 && stat(input, &i) == 0 &&
           S_ISREG(o.st_mode) && o.st_dev == i.st_dev && o.st_ino == i.st_ino;
}

const char *args_asked_name(int asked)
{
    return asked == 'V' ? "--version" : asked == '?' ? "--help" : "--usage";
}

static void answer(const struct argp *root, int asked)
{
    if (asked == 'V')
        printf("%s %s\n", program, dawn_version());
    else
        argp_help(root, stdout,
                  asked == '?' ? ARGP_HELP_STD_HELP : ARGP_HELP_USAGE,
                  (char *)(uintptr_t)program);
}

static void ask(const struct args *args, const struct argp *root, int asked)
{
    if (!args->asked) {
        answer(root, asked);
        exit(0);
    }
    if (!*args->asked)
        *args->asked = asked;
}

static void tell_option(const struct args *args, const char *option)
{
    char text[512];

    snprintf(text, sizeof text, "unknown or incomplete option '%s'", option);
    if (!args->note)
        wrong("%s", text);
    args->note(args->user, text);
}

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
    const struct args *args = state->input;

    (void)arg;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = args->input;
        return 0;
    case ARGP_KEY_ERROR:
        tell_option(args, state->argv[state->next - 1]);
        return 0;
    case '?':
    case KEY_USAGE:
    case 'V':
        ask(args, state->root_argp, key);
        return 0;
    case 'h':
        ask(args, state->root_argp, '?');
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* A program's options below those that all programs have. */
struct tree {
    struct argp root, inner;
    struct argp_child child[2];
};

static void join(struct tree *tree, const struct argp *argp)
{
    *tree = (struct tree){.root = {.options = common_options,
                                   .parser = parse_common,
                                   .args_doc = argp->args_doc,
                                   .doc = argp->doc,
                                   .children = tree->child},
                          .inner = *argp,
                          .child = {{&tree->inner, 0, NULL, 0}}};
    tree->inner.doc = tree->inner.args_doc = NULL; /* the root says them */
}

void args_parse(const struct args *args, const struct argp *argp, int argc,
                char **argv)
{
    struct tree tree;

    join(&tree, argp);
    program = args->program;
    if (argp_parse(&tree.root, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, NULL,
                   (void *)(uintptr_t)args) == ENOMEM)
        wrong("no memory");
}

void args_answer(const struct argp *argp, int asked)
{
    struct tree tree;

    join(&tree, argp);
    answer(&tree.root, asked);
}
