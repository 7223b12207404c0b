#include <zmq.h>
#if defined(__linux__)
#include <sys/eventfd.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#endif
#if defined(__linux__)
#include <signal.h>
// prctl is variadic, which Swift cannot call.
static inline int sluice_be_undumpable(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }
static inline int sluice_end_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0); }
#endif
