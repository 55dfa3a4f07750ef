"""Personal data in texts: found, proven by check digits and grammar where there are any, and taken out."""
