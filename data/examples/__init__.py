"""Examples for the chat model: instructions, preferences, and questions with checkable answers."""
