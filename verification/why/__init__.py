"""Why a sender's events do not arrive: its packets followed from step to step (`verify.py why`)."""
