"""PNG, TIFF and the like: read with Pillow, and numbered by their names."""
