"""What is not SEG-Y: pictures and arrays of numbers, made into datasets by the same shards, ledger and manifest."""
