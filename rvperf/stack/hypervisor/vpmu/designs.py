"""The designs by name, and the known deviations of the real software from what was meant."""

from __future__ import annotations

from rvperf.machine.csrs import QUIRKS as HARTS
from rvperf.stack.hypervisor.vpmu import Vpmu
from rvperf.stack.hypervisor.vpmu.kvm import DelegatedPmu, KvmPmu, SnapshotPmu
from rvperf.stack.hypervisor.vpmu.passthrough import PassthroughPmu
from rvperf.stack.hypervisor.vpmu.ssccfg import MediatedPmu, TrapPmu
from rvperf.stack.pmu_drivers.riscv_pmu import QUIRKS as DRIVERS

DESIGNS: dict[str, type[Vpmu]] = {
    design.name: design
    for design in (TrapPmu, KvmPmu, SnapshotPmu, DelegatedPmu, MediatedPmu, PassthroughPmu)
}

KVMS = {
    "kvm-no-scountovf": "KVM doesn't emulate scountovf, which reads as zero for a guest without "
    "snapshots: its driver believes that nothing has overflown, takes no sample, and leaves the "
    "counters standing.",
    "kvm-cumulative-read": "KVM adds all that the host's event has counted since it was made each "
    "time it updates a guest's counter, so that a second read counts the first one's part again.",
    "kvm-hpm31": "KVM emulates one counter CSR too few: hpmcounter31 is an illegal instruction for "
    "guests.",
}
QUIRKS: dict[str, str] = {**KVMS, **DRIVERS, **HARTS}
"""What each quirk is, in one sentence: KVM's, the drivers', the hart's. All are off unless asked
for by name."""
