"""Release: INT8 weights, the Hugging Face directory and the model card."""
