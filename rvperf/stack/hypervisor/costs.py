"""What the hypervisor's work costs: modelled, not measured.

Every figure is an assumption of ours, of the order of Linux' KVM on a small in-order core, beside
the CSR instructions and SBI calls that the models really execute. `symbol` is the Linux function
under which the work appears in samples of the host.
"""

from rvperf.stack.kernel.costs import Cost

EXIT = Cost("__kvm_switch_return", 120, 180)  # general registers saved, trap looked at
ENTER = Cost("__kvm_riscv_switch_to", 120, 180)
RUN = Cost("kvm_arch_vcpu_ioctl_run", 260, 420)  # the loop around it: requests, signals, RCU
LOAD = Cost("kvm_arch_vcpu_load", 300, 500)
PUT = Cost("kvm_arch_vcpu_put", 300, 500)
STAGE2_FAULT = Cost("kvm_riscv_gstage_map", 2200, 3800)
VIRTUAL_INSTRUCTION = Cost("kvm_riscv_vcpu_virtual_insn", 350, 560)
SBI_CALL = Cost("kvm_riscv_vcpu_sbi_ecall", 250, 400)
REDIRECT = Cost("kvm_riscv_vcpu_trap_redirect", 150, 240)
WAIT = Cost("kvm_vcpu_halt", 900, 1500)
INTERRUPT = Cost("riscv_intc_irq", 500, 800)
TICK = Cost("tick_sched_handle", 1400, 2300)
SWITCH = Cost("__schedule", 1200, 2200)
INTERLUDE = Cost("kthread", 8000, 14000)  # another task of the host runs for a moment
