"""What crosses from measuring to showing: frozen data, and nothing that prints.

All times are nanoseconds of the emulated machine. `session` makes these, `render` reads them.
"""

from isa.record import Record


class Count(Record):
    """One event's count over one run, or its mean over several.

    As with perf's read(2), `enabled` and `running` are the times for which the event was wanted
    and really counted. An event that never ran (`running` 0, or no `value`) shows as
    `<not counted>`. For duration_time, user_time and system_time both times equal the value, so
    that a time of nothing shows as `<not counted>`, as it does in perf.
    """

    name: str
    """As the user typed it, modifiers included: `cs` stays `cs`."""
    event: str
    """perf's own symbol without modifiers, `context-switches`: what derived metrics key on."""
    value: int | float | None
    """None means that there is nothing to show. A mean over several runs may be a fraction."""
    supported: bool = True
    enabled: int = 0
    running: int = 0
    unit: str = ""
    scale: float = 1.0
    """What is printed is value * scale: task-clock is counted in ns and printed in msec."""
    context: str = ""
    """Modes that the event excludes, as `events.Event.context` says. Metrics only relate counts
    of equal context: instructions:u over cycles:u."""
    noise: float = 0.0
    """Standard deviation of the mean over several runs, in percent of the mean."""

    @property
    def counted(self) -> bool:
        return self.supported and self.value is not None and self.running > 0


class Exit(Record):
    """How the program ended: exactly one of the two is set."""

    code: int | None = None
    signal: int | None = None


class StatResult(Record):
    command: tuple[str, ...]
    counts: tuple[Count, ...]
    elapsed: int | float
    user: int
    system: int
    exit: Exit
    interrupted: bool = False
    """Whether ^C was pressed meanwhile, whatever the program made of it."""
    runs: int = 1
    """How often the command ran; the counts and the elapsed time are means over these."""
    elapsed_deviation: float = 0.0
    """Standard deviation of the mean of the elapsed time, in ns."""
