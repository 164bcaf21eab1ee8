/* A clock that is ahead: every process that preloads this library lives at another time, which can be moved on while
 * it runs. Only the time of day is moved; how long something takes, and what sleeps, is left alone.
 *
 * DRILL_CLOCK names a file of eight bytes: by how many nanoseconds the clock is ahead. clock.py writes it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_timedwait)(sem_t *, const struct timespec *);
static const volatile int64_t *ahead;

__attribute__((constructor)) static void begin(void) {
    static const int64_t nothing = 0;
    const char *path = getenv("DRILL_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    ahead = page == MAP_FAILED ? &nothing : page;
    if (file >= 0) close(file);
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_timedwait = dlsym(RTLD_NEXT, "sem_timedwait");
}

static void move(struct timespec *time, int64_t by) {
    int64_t total = time->tv_sec * SECOND + time->tv_nsec + by;
    time->tv_sec = total / SECOND;
    time->tv_nsec = total % SECOND;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (!real_gettime) begin(); /* another library's constructor may ask before ours has run */
    int failed = real_gettime(clock, time);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) move(time, *ahead);
    return failed;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}

/* Python's multiprocessing waits until a time of day, and the kernel keeps the real one. */
int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
    struct timespec real = *until;
    move(&real, -*ahead);
    return real_timedwait(semaphore, &real);
}
