"""What a language model is compared with: counting, compressing and guessing, on the same text and the same questions."""
