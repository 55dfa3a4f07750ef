"""Lineage: trace both ways, take-down, compare."""
