"""RISC-V, declared: instructions, CSRs, trap causes and privilege modes. No I/O, standard library only."""
