"""Plan and execute the stages of a run."""
