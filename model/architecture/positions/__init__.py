"""How a decoder is told the order of its tokens: one file a way."""
