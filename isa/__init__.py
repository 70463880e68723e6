"""RISC-V, declared: instructions, CSRs, trap causes and privilege modes. Stdlib only, no I/O."""
