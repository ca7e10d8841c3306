"""`python3 -m logstash_standin`: what `bin/logstash` runs."""

import sys

from .runner import main

sys.exit(main(sys.argv[1:]))
