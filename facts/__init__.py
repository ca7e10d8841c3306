"""What is true on a machine: each fact reads it with one command and changes nothing."""
