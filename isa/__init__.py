"""RISC-V, declared: instructions, CSRs, trap causes, privilege modes. Standard library only."""
