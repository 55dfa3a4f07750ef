"""Augmentation of training text: other spellings and other orders, drawn by a seed."""
