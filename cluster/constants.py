"""What is the same in every cluster."""

API_PORT = 9600
"""TCP port of Logstash's API, the same on every node (the recipe's step 3)."""
OWN_PIPELINE_FILE = "logstash-ha.conf"
"""The deploy's own file in each pipeline: the inputs."""
NODE_NAME = "<%= node.name %>"
"""Stands for a node's name in the inventory's texts and paths that are of one node each."""
