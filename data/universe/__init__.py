"""One hundred small books about an invented world, the dirt they were found in, and the truth about both."""
