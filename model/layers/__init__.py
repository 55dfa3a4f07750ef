"""Layers that networks are built of.

Tensor names end in their axes: B rows of a batch, T tokens, S tokens attended to, D width of the
residual stream, F inner width of the feed-forward, H query heads, G key and value heads, K numbers of a head, R rotated numbers,
P positions, V vocabulary, N any number of rows, X an axis that the function describes.
"""
