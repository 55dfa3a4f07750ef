"""How training is spread: one typed section, compiled to DeepSpeed's configuration."""
