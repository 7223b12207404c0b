#include "CJemalloc.h"
#include <stddef.h>

// jemalloc reads it at the start of the process. What a connection of libzmq's leaves behind when it ends goes back to the kernel at once, and a new one begins
// with untouched pages: with glibc 2.36 a queue's chunk, which libzmq aligns, is not fitted into the hole that another left, and memory only grows.
const char *malloc_conf = "narenas:2,dirty_decay_ms:0,muzzy_decay_ms:0,lg_tcache_max:14";

int mallctl(const char *name, void *old, size_t *old_size, void *new_value, size_t new_size);

// Its version: asked for, so that no linker takes the library for one that nobody needs.
const char *sluice_allocator(void) {
    const char *version = "";
    size_t size = sizeof version;
    return mallctl("version", &version, &size, NULL, 0) == 0 ? version : "";
}
