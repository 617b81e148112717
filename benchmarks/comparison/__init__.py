"""Compares muxsocks with its peers: the parts of the program benchmarks/compare."""
