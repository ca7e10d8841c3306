"""Sessions with machines: connecting, and commands on other hosts than the one that an operation is for."""
