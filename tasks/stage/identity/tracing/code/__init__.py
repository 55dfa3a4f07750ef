"""Static analysis of code: statements of a module, what they mention and do, and all that follows from what ran."""
