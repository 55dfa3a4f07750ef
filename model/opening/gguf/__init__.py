"""GGUF files read as Hugging Face directories: metadata, tensors and tokenizer."""
