"""perf for RISC-V without a RISC-V machine."""

__version__ = "0.1.0"
