"""What a piece of modelled system software costs to execute."""

from isa.record import Record


class Cost(Record):
    """Instructions and cycles of one piece of work, and per byte that it moves."""

    symbol: str
    instructions: int
    cycles: int
    bytes_per_instruction: int = 0
    callers: tuple[str, ...] = ()
    """The functions that lead to it, the nearest first: what a call chain shows."""
