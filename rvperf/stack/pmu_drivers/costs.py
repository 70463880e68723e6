"""What the drivers' work costs: modelled, not measured.

Every figure is an assumption of ours, beside the CSR instructions and SBI calls, which are really
executed. `symbol` is the Linux function under which the work appears in samples.
"""

from rvperf.stack.costs import Cost

ADD = Cost("riscv_pmu_add", 60, 90)
DELETE = Cost("riscv_pmu_del", 60, 90)
START = Cost("riscv_pmu_start", 70, 100)  # with the period
STOP = Cost("riscv_pmu_stop", 30, 45)
UPDATE = Cost("riscv_pmu_event_update", 40, 60)
OVERFLOW = Cost("pmu_sbi_ovf_handler", 120, 190)
OVERFLOWED = Cost("pmu_sbi_ovf_handler", 80, 120)  # each counter that has
