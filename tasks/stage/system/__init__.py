"""The machine: atomic file writes, locks, child processes, progress lines."""
