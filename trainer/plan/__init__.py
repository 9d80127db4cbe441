"""Which windows there are, and which of them each step takes: pure integers."""
