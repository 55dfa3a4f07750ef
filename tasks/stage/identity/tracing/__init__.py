"""Verifying traces: what an execution ran and read, and whether that is the same on today's source.

`recorder` works inside the executing process and writes marks; `Marks` are what it saw; `trace_of` turns marks and a source into a trace.
"""
