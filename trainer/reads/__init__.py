"""From stored chunks to samples: where chunks lie, how they are read and decoded, and how long they stay in memory."""
