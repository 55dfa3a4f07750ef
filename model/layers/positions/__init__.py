"""How layers learn the order of tokens: rotary positions, position embeddings, and biases on attention's scores."""
