"""A process that asks for leases as it is told, for tests that need another one; never imported.

Each line on stdin is ``URL START``: at the time START it asks for the lease on URL and prints ``held``, or ``refused``
and why. What it holds it gives back at the next line, which may be empty.
"""

import sys
import time
from contextlib import ExitStack

from data_catalog import InputError, hold_lease, lease, lease_file

lease.RENEW_S, lease.WATCH_S, lease_file.SETTLE_S = 0.1, 0.5, 0.3

with ExitStack() as held:
    for line in sys.stdin:
        held.close()
        if not line.strip():
            print("given back", flush=True)
            continue
        url, start = line.split()
        while time.time() < float(start):
            pass
        try:
            held.enter_context(hold_lease(url, purpose="test worker"))
        except InputError as error:
            print("refused", error, flush=True)
        else:
            print("held", flush=True)
