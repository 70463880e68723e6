"""The designs by name, and the known deviations of the real software from what was meant."""

from __future__ import annotations

from rvperf.stack.hypervisor.vpmu import Vpmu
from rvperf.stack.hypervisor.vpmu.kvm import DelegatedPmu, KvmPmu, SnapshotPmu
from rvperf.stack.hypervisor.vpmu.passthrough import PassthroughPmu
from rvperf.stack.hypervisor.vpmu.ssccfg import MediatedPmu, TrapPmu

DESIGNS: dict[str, type[Vpmu]] = {
    design.name: design
    for design in (TrapPmu, KvmPmu, SnapshotPmu, DelegatedPmu, MediatedPmu, PassthroughPmu)
}
