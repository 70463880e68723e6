"""A kernel's PMU drivers, as Linux has them: what perf_events asks of them, operation by operation.

`riscv_pmu.Driver` is what they have in common, `sbi.SbiDriver` programs counters by SBI calls, and
`delegation.DelegationDriver` by itself, where counters are delegated to it.
"""
