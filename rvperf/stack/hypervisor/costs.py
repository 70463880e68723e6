"""What the hypervisor's work costs: modelled, not measured.

Every figure is an assumption of ours, of the order of Linux' KVM on a small in-order core, beside
the CSR instructions and SBI calls that the models really execute. `symbol` is the Linux function
under which the work appears in samples of the host.
"""

from rvperf.stack.costs import Cost
from rvperf.stack.kernel.costs import CALL, ENTRY

IOCTL = ("kvm_vcpu_ioctl", "__riscv_sys_ioctl", *CALL)
LOOP = ("kvm_arch_vcpu_ioctl_run", *IOCTL)
HANDLER = ("kvm_riscv_vcpu_exit", *LOOP)
# General registers saved, trap looked at.
EXIT = Cost("__kvm_switch_return", 120, 180, callers=LOOP)
ENTER = Cost("__kvm_riscv_switch_to", 120, 180, callers=LOOP)
# The loop around it: requests, signals, RCU.
RUN = Cost("kvm_arch_vcpu_ioctl_run", 260, 420, callers=IOCTL)
LOAD = Cost("kvm_arch_vcpu_load", 300, 500, callers=("vcpu_load", *LOOP))
PUT = Cost("kvm_arch_vcpu_put", 300, 500, callers=("vcpu_put", *LOOP))
STAGE2_FAULT = Cost("kvm_riscv_gstage_map", 2200, 3800, callers=HANDLER)
VIRTUAL_INSTRUCTION = Cost("kvm_riscv_vcpu_virtual_insn", 350, 560, callers=HANDLER)
SBI_CALL = Cost("kvm_riscv_vcpu_sbi_ecall", 250, 400, callers=HANDLER)
REDIRECT = Cost("kvm_riscv_vcpu_trap_redirect", 150, 240, callers=HANDLER)
WAIT = Cost("kvm_vcpu_halt", 900, 1500, callers=("kvm_riscv_vcpu_wfi", *HANDLER))
INTERRUPT = Cost("riscv_intc_irq", 500, 800, callers=("do_irq", ENTRY))
TICK = Cost("tick_sched_handle", 1400, 2300, callers=INTERRUPT.callers)
DESTROY = Cost("kvm_arch_vcpu_destroy", 400, 700, callers=("kvm_destroy_vcpus", "kvm_vm_release"))
MIGRATE = Cost("migration_cpu_stop", 1500, 2600, callers=("cpu_stopper_thread",))
SWITCH = Cost("__schedule", 1200, 2200, callers=("schedule", *LOOP))
INTERLUDE = Cost("kthread", 8000, 14000)  # another task of the host runs for a moment
SAMPLE = Cost("perf_event_output_forward", 900, 1500, callers=("__perf_event_overflow",))
