"""From prepared datasets back to SEG-Y."""
