"""Where and how tasks run: clusters, a sliding window of tasks, what is tried again and what ends a run."""
