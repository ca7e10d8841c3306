"""The recipe on real kernels. These tests boot a lab of their own and remove it at the end.

They run in order: first what a fresh machine must show, then the deploy, then the cluster, then its failures.
"""
