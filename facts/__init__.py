"""What a machine is now: each fact reads a part of it with one command, and changes nothing."""
