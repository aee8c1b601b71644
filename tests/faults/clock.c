/* A clock that is set back by an hour:
 *     cc -shared -fPIC -o clock.so clock.c -ldl
 *     LD_PRELOAD=clock.so CLOCK_SET_BACK_AT=SECONDS, of the monotonic clock, for a process and its children */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);

static int read_clock(clockid_t id, struct timespec *now) {
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    return real(id, now);
}

static long behind(void) {
    struct timespec now;
    const char *at = getenv("CLOCK_SET_BACK_AT");
    read_clock(CLOCK_MONOTONIC, &now);
    return at && now.tv_sec + now.tv_nsec * 1e-9 > atof(at) ? 3600 : 0;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = read_clock(id, now);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec -= behind();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    int failed = clock_gettime(CLOCK_REALTIME, &found);
    (void)zone;
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *kept) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (kept) *kept = found.tv_sec;
    return found.tv_sec;
}
