"""`python -m rvperf.cli`, where the rvperf command isn't installed."""

import sys

from rvperf.cli import main

sys.exit(main())
