"""A dataset against its checksums and against the files that it was made of."""
