"""The lab: real machines on one machine.

Guests are User Mode Linux kernels with systemd, IPVS, netfilter and SELinux, dressed as EL 7 to 10. They live in
one network namespace together with a package server, and nothing of them reaches any other network.
"""
