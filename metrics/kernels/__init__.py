"""Compiled kernels of the metrics. Each gives the result of a plain definition, and is tested against it."""
