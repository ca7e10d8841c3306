"""What the deploy does: each operation compares facts with the desired state and yields what is missing."""
