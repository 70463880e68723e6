"""What hardware does: hart state, CSRs, traps, physical memory, translation and the clock."""
