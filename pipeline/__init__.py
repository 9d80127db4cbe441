"""Raw SEG-Y to prepared datasets, with Dask: scan, geometry, plan, template, write, publish; and back again."""
