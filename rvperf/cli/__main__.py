"""`python -m rvperf.cli`, where the rvperf command isn't installed."""

from rvperf.cli import console

console()
