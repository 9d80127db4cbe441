"""A network learns: steps, scores, checkpoints, and what a run says of itself."""
