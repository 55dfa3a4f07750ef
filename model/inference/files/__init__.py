"""Files of prompts: a line of JSON each, and a line for each answer."""
