"""The trainer: prepared datasets in, trained networks and predictions out."""

import os

# Idle OpenMP threads of torch spin at barriers and starve the feed's threads; libgomp reads these once, when torch is
# imported, so they are set before any module of the package can do so. What the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
