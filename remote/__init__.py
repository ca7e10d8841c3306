"""Sessions with machines: the way to them, and commands on hosts other than the one that pyinfra is at."""
