"""Speed and memory, against peers that do the same work in the same run: `python -m benchmarks`."""
