"""The operating system: atomic file writes, locks, child processes, progress lines."""
