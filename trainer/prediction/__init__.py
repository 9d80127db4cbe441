"""A trained network speaks: tile by tile, shard by shard, into a derived group."""
