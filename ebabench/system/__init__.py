"""The machine: files, locks, cache, downloads, archives, registry, processes. It knows no protein."""
