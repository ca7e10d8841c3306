"""The recipe's health script (step 8): it succeeds when the API lists the input in the pipeline `main`.

Like the recipe's, it reads the whole of `/_node/stats`, without a time-out.
"""

import json
import sys
from urllib.request import urlopen

if len(sys.argv) != 3:
    print("usage: check.py IP INPUT-ID")
    sys.exit(1)
stats = json.load(urlopen("http://%s:9600/_node/stats" % sys.argv[1]))  # noqa: UP031
inputs = stats["pipelines"]["main"]["plugins"]["inputs"]
sys.exit(0 if sys.argv[2] in [plugin["id"] for plugin in inputs] else 1)
