"""What made what: trace both ways, take-down, compare."""
