"""The parts of a store that are not samples: its template, its ledger while it is made, its manifest and entry."""
