"""What the instructions teach besides facts: small talk, to decline what no book answers, and to criticize and revise."""
