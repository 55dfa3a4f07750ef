"""What the page shows of steps of tuning alone."""
