"""The proof that a cluster is as it is meant: observe the nodes, judge what was seen, show the verdict."""
