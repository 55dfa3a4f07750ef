"""Quantization: a smaller model directory from a full-precision one."""
