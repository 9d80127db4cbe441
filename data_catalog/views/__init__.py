"""Datasets to look at: what needs more than the contract does is imported here alone, and when it is asked for."""
