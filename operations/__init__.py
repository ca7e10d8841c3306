"""What the deploy does: each operation compares facts with what is meant and yields what is missing."""
