"""What every room needs of the machine: atomic file writes, locks, child processes, progress lines."""
