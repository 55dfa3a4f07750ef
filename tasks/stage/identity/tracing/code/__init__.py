"""What code is by itself: statements of a module, what they mention and do, and all that follows from what ran."""
