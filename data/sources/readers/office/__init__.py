"""Readers of what word processors and typesetters write."""
