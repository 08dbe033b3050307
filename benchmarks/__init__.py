"""How fast, and in how much memory, against peers that do the same work in the same run: `python -m benchmarks`."""
