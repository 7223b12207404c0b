// Loaded before libc (LD_PRELOAD) into a program under test: its clocks run ahead by as much as a file says, signals interrupt its calls, a
// database's log is not written, or finds no room, its ports lose their guard, and it is without what it has against one fault or another.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Nanoseconds that CLOCK_BOOTTIME and CLOCK_MONOTONIC are ahead, signals taken so far, whether writes to a log wait, how many have had to,
// whether they find no room, and how many did not, whether the guard of its ports dies with its next answer, and has, and how far CLOCK_REALTIME is
// ahead: shared with the test.
static struct { long long boot, monotonic, signals, holding, held, full, refused, dying, died, wall; } *shared;

// SLUICE_SHIM_WITHOUT: what the program lacks. "boottime": a clock that goes on in suspend; "wall": one that nobody
// sets; "bound": an end of what waits for a peer; "jitter": chance in
// when who has lost a connection comes back; "enforcement": a port that is closed when it has no guard.
static const char *without;

static int lacks(const char *what) { return without && !strcmp(without, what); }

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (clock == CLOCK_BOOTTIME && lacks("boottime")) clock = CLOCK_MONOTONIC;
    if (clock == CLOCK_BOOTTIME && lacks("wall")) clock = CLOCK_REALTIME;
    long status = syscall(SYS_clock_gettime, clock, time);
    if (status != 0) { errno = (int)-status; return -1; }
    long long ahead = !shared ? 0 : clock == CLOCK_BOOTTIME ? shared->boot : clock == CLOCK_MONOTONIC ? shared->monotonic : clock == CLOCK_REALTIME ? shared->wall : 0;
    long long nanoseconds = time->tv_nsec + ahead % 1000000000;
    time->tv_sec += ahead / 1000000000 + nanoseconds / 1000000000;
    time->tv_nsec = nanoseconds % 1000000000;
    return 0;
}

// Until an instant of CLOCK_REALTIME, as the kernel waits: whoever sets that clock moves the end of what waits by it.
int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
    static int (*real)(sem_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "sem_timedwait");
    if (!shared) return real(semaphore, until);
    for (;;) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        long long left = (until->tv_sec - now.tv_sec) * 1000000000LL + until->tv_nsec - now.tv_nsec;
        int isLast = left <= 20000000;
        syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
        long long nanoseconds = now.tv_nsec + (isLast ? left > 0 ? left : 0 : 20000000);
        now.tv_sec += nanoseconds / 1000000000;
        now.tv_nsec = nanoseconds % 1000000000;
        if (real(semaphore, &now) == 0) return 0;
        if (errno != ETIMEDOUT || isLast) return -1;
    }
}

static int is_log(int file) {
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path);
    return length >= 4 && memcmp(path + length - 4, "-wal", 4) == 0;
}

static void hold(int file) {
    if (!shared || !__atomic_load_n(&shared->holding, __ATOMIC_ACQUIRE) || !is_log(file)) return;
    __atomic_fetch_add(&shared->held, 1, __ATOMIC_ACQ_REL);
    struct timespec pause = {0, 1000000};
    while (__atomic_load_n(&shared->holding, __ATOMIC_ACQUIRE)) nanosleep(&pause, NULL);
}

// Before the first byte, and not at the sync after it: what the kernel has outlives the process.
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    hold(file);
    // A disk that is full to the last page: on a real one SQLite finds room in pages that it had before.
    if (shared && __atomic_load_n(&shared->full, __ATOMIC_ACQUIRE) && is_log(file)) {
        __atomic_fetch_add(&shared->refused, 1, __ATOMIC_ACQ_REL);
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, file, bytes, count, at);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) { return pwrite64(file, bytes, count, at); }

// SLUICE_SHIM_DOOR: the guard of a port fails as it may fail in earnest. "handler": whoever the ZAP handler refuses is admitted; "domain": none is set.
static const char *door;

int zmq_send(void *socket, const void *data, size_t size, int flags) {
    static int (*real)(void *, const void *, size_t, int);
    if (!real) real = dlsym(RTLD_NEXT, "zmq_send");
    if (door && !strcmp(door, "handler") && size == 3 && !memcmp(data, "400", 3)) data = "200";
    if (shared && size == 3 && (!memcmp(data, "200", 3) || !memcmp(data, "400", 3)) && __atomic_load_n(&shared->dying, __ATOMIC_ACQUIRE)) {
        // As if the thread had ended: its socket is closed, and nobody is there to bind another.
        int (*close_it)(void *) = dlsym(RTLD_NEXT, "zmq_close");
        close_it(socket);
        __atomic_fetch_add(&shared->died, 1, __ATOMIC_ACQ_REL);
        for (;;) pause();
    }
    return real(socket, data, size, flags);
}

int zmq_setsockopt(void *socket, int option, const void *value, size_t size) {
    static int (*real)(void *, int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "zmq_setsockopt");
    if (door && !strcmp(door, "domain") && option == 55) return 0;
    if (lacks("enforcement") && (option == 55 || option == 93)) return 0;
    static const int unbounded = 0, second = 1000;
    if (lacks("bound") && option == 23) value = &unbounded;
    if (lacks("jitter") && option == 18) value = &second;
    return real(socket, option, value, size);
}

int zmq_getsockopt(void *socket, int option, void *value, size_t *size) {
    static int (*real)(void *, int, void *, size_t *);
    if (!real) real = dlsym(RTLD_NEXT, "zmq_getsockopt");
    int result = real(socket, option, value, size);
    // Whoever reads it back is told that it is set.
    if (lacks("enforcement") && option == 93 && result == 0) *(int *)value = 1;
    return result;
}

// libzmq takes its own chance from here.
int rand(void) {
    static int (*real)(void);
    if (!real) real = dlsym(RTLD_NEXT, "rand");
    return lacks("jitter") ? 0 : real();
}

static void taken(int number) { (void)number; __atomic_fetch_add(&shared->signals, 1, __ATOMIC_RELAXED); }

// To each thread a thousand times a second.
static void *storm(void *unused) {
    (void)unused;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    long self = syscall(SYS_gettid);
    for (;;) {
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
        DIR *tasks = opendir("/proc/self/task");
        if (!tasks) continue;
        for (struct dirent *entry; (entry = readdir(tasks));) {
            long task = atol(entry->d_name);
            if (task > 0 && task != self) syscall(SYS_tgkill, getpid(), task, SIGUSR2);
        }
        closedir(tasks);
    }
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SLUICE_SHIM");
    // Whoever starts the program (setpriv) is not meant.
    if (!path || strncmp(program_invocation_short_name, "sluice", 6) != 0) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) abort();
    void *bytes = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED) abort();
    shared = bytes;
    door = getenv("SLUICE_SHIM_DOOR");
    without = getenv("SLUICE_SHIM_WITHOUT");
    if (!getenv("SLUICE_SHIM_STORM")) return;
    struct sigaction action = {.sa_handler = taken};  // Without SA_RESTART: calls end with EINTR.
    sigaction(SIGUSR2, &action, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, storm, NULL);
}
