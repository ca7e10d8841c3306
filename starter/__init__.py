"""An operator's own folder with an inventory to start from: `init.py`."""
