"""What is in files of traces: found out, told, drawn, and made into a recipe."""
