/* Bends the wall clock of a program, and no other clock; loaded by LD_PRELOAD.
 *
 * SPLITBRAIN_SKEW_FILE names a file of 4096 bytes that is mapped, so that changes show at once:
 *   i64 sequence    odd while the file is being written
 *   i64 count       number of layers, at most 8
 *   { i64 base, offset, rate, strobe } [8]      nanoseconds; rate in parts per billion
 *
 *   shown = real + sum over the layers of  (on ? offset : 0) + (real - base) * rate / 1e9
 *
 * where a layer with a strobe is on for strobe nanoseconds from its base, off for as many, and so
 * on. A deadline that a program gives on the wall clock it sees is turned back into real time when
 * the wait begins. Not seen: programs without libc, raw system calls, timerfd and POSIX timers.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define FILE_BYTES 4096
#define LAYERS 8
#define PATIENCE SECOND /* with a writer that may have died half-way: waited once for each */
#define EXPORTED __attribute__((visibility("default")))

struct layer {
    int64_t base, offset, rate, strobe;
};

struct skew {
    int64_t sequence, count;
    struct layer layers[LAYERS];
};

typedef int (*clock_gettime_t)(clockid_t, struct timespec *);

static const struct skew truth;
static const struct skew *volatile skew;
static clock_gettime_t real_clock_gettime;
static int64_t given_up = -1; /* the sequence at which a writer was waited for in vain */

static const struct skew *map_skew(void)
{
    const char *path = getenv("SPLITBRAIN_SKEW_FILE");
    int descriptor = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return &truth;
    struct stat about;
    void *memory = MAP_FAILED;
    if (fstat(descriptor, &about) == 0 && about.st_size >= FILE_BYTES)
        memory = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, descriptor, 0);
    close(descriptor);
    return memory == MAP_FAILED ? &truth : memory;
}

__attribute__((constructor)) static void begin(void)
{
    if (skew)
        return;
    real_clock_gettime = (clock_gettime_t)dlsym(RTLD_NEXT, "clock_gettime");
    skew = map_skew();
}

/* A version of a symbol that the dynamic linker would not give by name alone. */
static void *original(const char *name, const char *version)
{
    void *found = dlvsym(RTLD_NEXT, name, version);
    return found ? found : dlsym(RTLD_NEXT, name);
}

static int64_t nanoseconds(const struct timespec *moment)
{
    return moment->tv_sec * SECOND + moment->tv_nsec;
}

static struct timespec timespec_of(int64_t total)
{
    int64_t seconds = total / SECOND, rest = total % SECOND;
    if (rest < 0) {
        rest += SECOND;
        seconds -= 1;
    }
    return (struct timespec){.tv_sec = seconds, .tv_nsec = rest};
}

static int64_t bend(const struct layer *layer, int64_t real)
{
    int64_t passed = real - layer->base;
    int64_t total = 0;
    if (layer->strobe <= 0 || (passed >= 0 && passed / layer->strobe % 2 == 0))
        total += layer->offset;
    if (layer->rate)
        total += (int64_t)((__int128)passed * layer->rate / SECOND);
    return total;
}

/* Give way to a writer that is at work; tell whether it may still finish. A count of tries would
 * not do: a writer loses its processor, or waits for a disk, for longer than many reads take. */
static int may_finish(int64_t sequence, int64_t *since)
{
    if (sequence == __atomic_load_n(&given_up, __ATOMIC_RELAXED))
        return 0;
    struct timespec now;
    real_clock_gettime(CLOCK_MONOTONIC, &now);
    if (!*since)
        *since = nanoseconds(&now);
    if (nanoseconds(&now) - *since > PATIENCE) {
        __atomic_store_n(&given_up, sequence, __ATOMIC_RELAXED);
        return 0;
    }
    sched_yield();
    return 1;
}

/* How much more than the real time is shown at that time. */
static int64_t bent(int64_t real)
{
    const struct skew *shared = skew;
    struct skew copy;
    int64_t before, since = 0;
    do {
        before = __atomic_load_n(&shared->sequence, __ATOMIC_ACQUIRE);
        int64_t count = __atomic_load_n(&shared->count, __ATOMIC_RELAXED);
        if (count == 0 && !(before & 1))
            return 0;
        memcpy(&copy, shared, sizeof copy);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(before & 1) && before == __atomic_load_n(&shared->sequence, __ATOMIC_RELAXED))
            break;
    } while (may_finish(before, &since));
    int64_t total = 0;
    for (int64_t i = 0; i < copy.count && i < LAYERS; i++)
        total += bend(&copy.layers[i], real);
    return total;
}

static int is_wall(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

/* The real time of a deadline on the clock that the program sees. */
static struct timespec real_deadline(const struct timespec *shown)
{
    struct timespec now;
    begin();
    real_clock_gettime(CLOCK_REALTIME, &now);
    return timespec_of(nanoseconds(shown) - bent(nanoseconds(&now)));
}

EXPORTED int clock_gettime(clockid_t clock, struct timespec *moment)
{
    begin();
    int result = real_clock_gettime(clock, moment);
    if (result == 0 && is_wall(clock)) {
        int64_t real = nanoseconds(moment);
        int64_t more = bent(real);
        if (more)
            *moment = timespec_of(real + more);
    }
    return result;
}

EXPORTED int gettimeofday(struct timeval *restrict moment, void *restrict zone)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    moment->tv_sec = now.tv_sec;
    moment->tv_usec = now.tv_nsec / 1000;
    if (zone)
        memset(zone, 0, sizeof(struct timezone));
    return 0;
}

EXPORTED time_t time(time_t *moment)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (moment)
        *moment = now.tv_sec;
    return now.tv_sec;
}

EXPORTED int timespec_get(struct timespec *moment, int base)
{
    if (base != TIME_UTC)
        return 0;
    clock_gettime(CLOCK_REALTIME, moment);
    return base;
}

EXPORTED int clock_nanosleep(clockid_t clock, int flags, const struct timespec *moment,
                             struct timespec *rest)
{
    static int (*real)(clockid_t, int, const struct timespec *, struct timespec *);
    if (!real)
        real = original("clock_nanosleep", "GLIBC_2.17");
    if (!moment || !is_wall(clock) || !(flags & TIMER_ABSTIME))
        return real(clock, flags, moment, rest);
    struct timespec deadline = real_deadline(moment);
    return real(clock, flags, &deadline, rest);
}

/* Waits that end at a moment of the wall clock. */
#define WAIT(name, version, parameters, arguments)                                                 \
    EXPORTED int name parameters                                                                   \
    {                                                                                              \
        static int(*real) parameters;                                                              \
        if (!real)                                                                                 \
            real = original(#name, version);                                                       \
        struct timespec deadline = real_deadline(moment);                                          \
        moment = &deadline;                                                                        \
        return real arguments;                                                                     \
    }

WAIT(sem_timedwait, "GLIBC_2.34", (sem_t * semaphore, const struct timespec *moment),
     (semaphore, moment))
WAIT(pthread_mutex_timedlock, "GLIBC_2.34",
     (pthread_mutex_t * mutex, const struct timespec *moment), (mutex, moment))
WAIT(pthread_rwlock_timedrdlock, "GLIBC_2.34",
     (pthread_rwlock_t * lock, const struct timespec *moment), (lock, moment))
WAIT(pthread_rwlock_timedwrlock, "GLIBC_2.34",
     (pthread_rwlock_t * lock, const struct timespec *moment), (lock, moment))

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 30)
/* The same on a clock of the program's choice. */
#define CLOCK_WAIT(name, version, type)                                                            \
    EXPORTED int name(type *object, clockid_t clock, const struct timespec *moment)                \
    {                                                                                              \
        static int (*real)(type *, clockid_t, const struct timespec *);                            \
        if (!real)                                                                                 \
            real = original(#name, version);                                                       \
        struct timespec deadline;                                                                  \
        if (is_wall(clock)) {                                                                      \
            deadline = real_deadline(moment);                                                      \
            moment = &deadline;                                                                    \
        }                                                                                          \
        return real(object, clock, moment);                                                        \
    }

CLOCK_WAIT(sem_clockwait, "GLIBC_2.34", sem_t)
CLOCK_WAIT(pthread_mutex_clocklock, "GLIBC_2.34", pthread_mutex_t)
CLOCK_WAIT(pthread_rwlock_clockrdlock, "GLIBC_2.34", pthread_rwlock_t)
CLOCK_WAIT(pthread_rwlock_clockwrlock, "GLIBC_2.34", pthread_rwlock_t)

EXPORTED int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                    clockid_t clock, const struct timespec *moment)
{
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
    if (!real)
        real = original("pthread_cond_clockwait", "GLIBC_2.34");
    if (!is_wall(clock))
        return real(condition, mutex, clock, moment);
    struct timespec deadline = real_deadline(moment);
    return real(condition, mutex, clock, &deadline);
}
#endif

/* A condition may have been made for the monotonic clock; glibc notes that in bit 1 of __wrefs. */
static int is_monotonic(const pthread_cond_t *condition)
{
#ifdef __GLIBC__
    return (condition->__data.__wrefs & 2) != 0;
#else
    (void)condition;
    return 0;
#endif
}

EXPORTED int pthread_cond_timedwait(pthread_cond_t *restrict condition,
                                    pthread_mutex_t *restrict mutex,
                                    const struct timespec *restrict moment)
{
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real)
        real = original("pthread_cond_timedwait", "GLIBC_2.3.2");
    if (is_monotonic(condition))
        return real(condition, mutex, moment);
    struct timespec deadline = real_deadline(moment);
    return real(condition, mutex, &deadline);
}
