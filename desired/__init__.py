"""What a node should be, from the cluster's description alone: pure functions that touch no machine.

`operations/` compares this with `facts/` and yields what is missing; `verification/` reports the difference.
"""
