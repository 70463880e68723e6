"""Installing compiles tier 0 of the engine, so that the first run need not (for hatchling)."""

import subprocess
import sys

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BuildAhead(BuildHookInterface):
    """Leaves rvperf/engine/tier0.bin; without it the first run compiles tier 0 into the cache."""

    def initialize(self, version, build_data):
        command = "from rvperf.engine.codecache import build_ahead; build_ahead()"
        done = subprocess.run([sys.executable, "-c", command], cwd=self.root)
        if done.returncode == 0:
            # Machine code of this platform is in it.
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
