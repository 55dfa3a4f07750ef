"""The format compressed-tensors, which transformers and vLLM open: GPTQ, AWQ, INT8 with rounded inputs, FP8."""
