"""How many events a second the cluster takes, and where the first one is lost (`verify.py capacity`)."""
