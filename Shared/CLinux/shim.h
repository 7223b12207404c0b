// Linux calls and constants that Swift's Glibc module does not show. Empty elsewhere.
#if defined(__linux__)
#include <fcntl.h>
#include <sys/epoll.h>

// Its value differs from one architecture to the next.
enum { SLUICE_O_DIRECT = __O_DIRECT };
#endif
