"""Accelerators and their peaks, the operations that a model asks of them, and this process's memory."""
