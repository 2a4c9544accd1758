/* The first program of a measured container: writes the moment of its first instruction, in
 * nanoseconds of the monotonic clock, into the file it is given, and ends on SIGTERM. Static. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static void end(int signal)
{
    (void)signal;
    _exit(0);
}

int main(int argc, char **argv)
{
    struct timespec now;
    char text[32], temporary[256];
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (argc < 2)
        return 0; /* what is run by exec */
    signal(SIGTERM, end);
    int size = snprintf(text, sizeof(text), "%lld", now.tv_sec * 1000000000ll + now.tv_nsec);
    snprintf(temporary, sizeof(temporary), "%s.new", argv[1]);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, (size_t)size) != size || rename(temporary, argv[1]) < 0)
        return 1;
    for (;;)
        pause();
}
