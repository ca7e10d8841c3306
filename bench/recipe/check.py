"""The recipe's step 8, word for word in what it does: is the input listed? No time-out, the whole `/_node/stats`, `main` only."""

import json
import sys
from urllib.request import urlopen

if len(sys.argv) != 3:
    print("usage: check.py IP INPUT-ID")
    sys.exit(1)
stats = json.load(urlopen("http://%s:9600/_node/stats" % sys.argv[1]))  # noqa: UP031
inputs = stats["pipelines"]["main"]["plugins"]["inputs"]
sys.exit(0 if sys.argv[2] in [each["id"] for each in inputs] else 1)
