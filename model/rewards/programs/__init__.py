"""Small programs that a model writes, in a bounded part of Python that is interpreted here and never handed to Python itself."""
