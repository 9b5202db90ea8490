"""Worker processes: who hashes, compresses and touches files, and the shared memory between them and their parent."""
