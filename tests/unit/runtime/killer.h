/* Kills a program at a step of its choosing: it is traced (ptrace(2)), its system calls that change
 * something are counted from a mark on, and before the Nth of them it gets SIGKILL, in whatever
 * thread that is. The programs that it starts are not traced, and live on.
 *
 *     pid_t pid = fork();
 *     if (pid == 0) { killer_trace_me(); …; killer_mark(); …; _exit(0); }
 *     struct killer_report report;
 *     killer_run(pid, 17, &report);          report.killed, or report.status: it ended before
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct killer_report {
    bool killed;
    int status;       /* of waitpid(), unless it was killed */
    unsigned steps;   /* counted so far */
    char call[32];    /* before which it was killed: "renameat" */
    char detail[128]; /* the file that it is about, if it is about one */
};

/* In the child, first of all: stops until the parent has called killer_run(). */
void killer_trace_me(void);

/* In the child: counting begins (or ends) here. */
void killer_mark(void);
void killer_unmark(void);

/* Runs the child until it ends, or until just before the `nth` counted call, from 1; 0: never. It
 * is gone, and waited for, afterwards. -errno if it cannot be traced. */
int killer_run(pid_t pid, unsigned nth, struct killer_report *ret);
