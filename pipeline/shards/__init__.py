"""One task, one shard: traces read, decoded, counted, encoded, and written."""
