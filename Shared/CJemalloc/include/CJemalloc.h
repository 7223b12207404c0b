// Memory of ingest: see jemalloc.c. Importing this links jemalloc in, and malloc is jemalloc's from then on.
const char *sluice_allocator(void);
