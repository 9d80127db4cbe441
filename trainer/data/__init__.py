"""A catalogued dataset as a run reads it: its arrays, its splits, its normalisation, what its manifest knows."""
