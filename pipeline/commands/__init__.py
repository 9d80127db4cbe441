"""The commands: a module for each, with its options and what they mean to the rest of the pipeline."""
