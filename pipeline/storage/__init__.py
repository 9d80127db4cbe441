"""Objects on any file system, written whole or not at all; how chunks of samples become their bytes."""
