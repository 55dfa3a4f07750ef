"""Adapters: what is trained of a network, how that merges into its weights, and how it is saved."""
