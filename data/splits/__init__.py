"""Which documents are learnt from, and which are kept to judge by."""
