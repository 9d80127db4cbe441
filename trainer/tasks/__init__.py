"""Tasks: what a network learns from a window, how it is scored, and what it leaves in a dataset."""
