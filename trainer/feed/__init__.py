"""From chunks to batches: windows are cut, made into examples, and handed over in the order's sequence."""
