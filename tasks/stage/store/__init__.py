"""The artifact store: commit, reuse, verify, clean up, and the journal of runs."""
