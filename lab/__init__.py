"""The lab: several machines with real kernels, run on one machine.

Guests are User Mode Linux kernels with systemd, IPVS, netfilter and SELinux, set up to look like EL 7 to 10.
They share one network namespace with a package server; no packet leaves that namespace.
"""
