"""What lies in a survey's files, and where it belongs: trace headers, their index, geometry, the order of traces."""
