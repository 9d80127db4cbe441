"""What a store will hold and what making it costs, decided before any sample is read; mostly pure arithmetic."""
