"""One file a format: bytes in, records of text out, or the reason why there is none."""
