"""SEG-Y itself: field tables, the shape of a file, sample words. Nothing here knows of grids or stores."""
