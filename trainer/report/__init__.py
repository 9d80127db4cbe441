"""A page about a run, made of nothing but the files in its folder."""
