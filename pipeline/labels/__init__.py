"""What is known of a dataset from elsewhere, put onto its own dimensions: classes, horizons, arrivals."""
