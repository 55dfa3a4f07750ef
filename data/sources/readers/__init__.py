"""One reader per format: bytes in, records of text out, or the reason why there are none."""
