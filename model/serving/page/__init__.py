"""The chat page: one self-contained HTML file, put together from its style and scripts."""
