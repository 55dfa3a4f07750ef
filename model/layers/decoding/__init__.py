"""The layers as they write text: fused, folded, and with a state of the tokens before.

Axes: N rows that write, T new tokens of each (1 once the prompt is read), M = N T of them in one line; S tokens attended to; the others as
in `model.layers`.
"""
