"""What crosses from measuring to showing: frozen data, and nothing that prints.

All times are nanoseconds of the emulated machine. `session` makes these, `render` reads them.
"""

from __future__ import annotations

from isa.record import Record, replace


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

    def extrapolated(self) -> Count:
        """With the value that it would have had, had it had a counter all the time that it was
        enabled (perf_counts_values__scale() of libperf)."""
        if not self.counted or self.running >= self.enabled:
            return self
        return replace(self, value=int(float(self.value) * self.enabled / self.running))


class Exit(Record):
    """How the program ended: exactly one of the two is set."""

    code: int | None = None
    signal: int | None = None


class StatResult(Record):
    command: tuple[str, ...]
    counts: tuple[Count, ...]
    elapsed: int | float
    user: int | None
    """None where it was no program that was counted."""
    system: int | None
    exit: Exit
    interrupted: bool = False
    """Whether ^C was pressed meanwhile, whatever the program made of it."""
    runs: int = 1
    """How often the command ran; the counts and the elapsed time are means over these."""
    elapsed_deviation: float = 0.0
    """Standard deviation of the mean of the elapsed time, in ns."""


class VmExitRow(Record):
    """VM exits of one kind: the guest stopped, the host did something, the guest went on.

    Times are from the exit to the next entry. `key` says more than the cause does: the CSR's name,
    the SBI call (`pmu.counter_start`), the guest physical address; empty if there is no more.
    """

    cause: int
    """scause, bit 63 of interrupts included."""
    key: str
    samples: int
    total_ns: int
    min_ns: int
    max_ns: int
    squares: int = 0
    """The sum of the squared times, for their deviation."""


class KvmStatResult(Record):
    """What `perf kvm stat` shows of one VM."""

    command: tuple[str, ...]
    rows: tuple[VmExitRow, ...]
    elapsed: int
    exit: Exit


class Operation(Record):
    """One step of what hardware and software did, at a time and in a mode."""

    time_ns: int
    lane: str
    """VU, VS, HS or M."""
    text: str
    kind: str
    """csr, trap, sbi, interrupt, exit, return or work."""


class DesignResult(Record):
    """What one run under one design of PMU virtualisation took.

    Modes are "M", "HS" and "VS". `vm_exits_by_cause` has perf's names of causes, or scause's
    number; `sbi_calls` are the host's, to firmware, and `guest_sbi_calls` the guest's, each of
    which is a VM exit too. `cycles` is what was added to the cycles of the same run without
    perf, and `overhead_percent` their share of these.
    """

    vpmu: str
    overflow_irqs: dict[str, int]
    """By the mode that took them."""
    vm_exits: int
    vm_exits_by_cause: dict[str, int]
    pmu_exits: int
    """Those that the PMU is the reason of."""
    sbi_calls: int
    sbi_calls_by_function: dict[str, int]
    sbi_calls_by_origin: dict[str, int]
    """Keys: guest operation, overflow, vcpu switch, host perf, boot."""
    csr_accesses: dict[str, int]
    trapped_csrs: dict[str, int]
    saves: int
    """Registers of counters that were saved for the guest."""
    restores: int
    samples: int
    lost: int
    cycles: int
    overhead_percent: float
    host_can_profile: bool
    guest_sbi_calls: int = 0
    notes: tuple[str, ...] = ()
    operations: tuple[Operation, ...] = ()
    """One overflow, step by step, if that was asked for."""
    exit: Exit = Exit(code=0)


class CounterOwner(Record):
    """A counter of a hart was somebody's ("host", or a guest's name) from `start` to `end`."""

    hart: int
    counter: int
    owner: str
    start: int
    end: int


class Interval(Record):
    """What `perf stat -I` prints at a time: what was counted since the last one."""

    time: int
    counts: tuple[Count, ...]


class JointSession(Record):
    """One of the sessions that ran together. `lost` is how many samples are missing; `why` says
    why, if so."""

    name: str
    """A guest's, "vm0", or "host"."""
    command: tuple[str, ...]
    samples: int | None = None
    lost: int = 0
    why: str = ""
    output: str | None = None
    counts: tuple[Count, ...] = ()
    listed: bool = False
    """Whether it was a perf list, which leaves nothing."""

    @property
    def subcommand(self) -> str:
        """perf's: stat, record or list."""
        return "list" if self.listed else "stat" if self.samples is None else "record"


class GuestFigures(Record):
    """What a vCPU took, from when all guests had booted."""

    name: str
    hart: int
    """Where it was at last."""
    vm_exits: int
    vm_exits_by_cause: dict[str, int]
    pmu_exits: int
    guest_sbi_calls: int
    saves: int
    """How often its counters were saved."""
    restores: int
    registers_saved: int
    registers_restored: int
    overflow_irqs: int


class OverflowInterrupt(Record):
    """A counter's overflow interrupt, when it is served: in which mode, by whom."""

    time: int
    hart: int
    mode: str
    """VS, HS or M."""
    owner: str
    """A guest's name, "host" or "firmware"."""


class Totals(Record):
    """What there was from the start to a time, of all harts and guests."""

    time: int
    vm_exits: int
    sbi_calls: int
    """The host's, to firmware."""
    guest_sbi_calls: int
    saves: int
    restores: int


class Happening(Record):
    """What a script had done with a vCPU, `what` as it says, at a time on the emulated clock on a
    hart; `about` is what came of it, if there is something to tell."""

    time: int
    name: str
    what: str
    hart: int
    about: str = ""


class HartEvent(Record):
    """Something that was done on a hart."""

    time: int
    hart: int
    kind: str
    """vm_exit, vm_entry, vcpu_load, vcpu_put, vcpu_migrate, counters_save, counters_restore or
    sbi_call."""
    who: str
    """The vCPU that it is done to, or who makes a call: "host" or a guest's name."""
    about: tuple = ()
    """Of an exit the mode that it left and scause; of an entry the mode; of a migration the number
    of the hart; of a save or restore how many registers; of a call the mode, extension,
    function and name."""


class HartEvents(Record):
    """The first of them, in no particular order, and how many more there were on each hart."""

    kept: tuple[HartEvent, ...] = ()
    dropped: tuple[int, ...] = ()


class JointReport(Record):
    """What happened between guests and host while they measured together. `start` and `end` are on
    the emulated clock."""

    vpmu: str
    policy: str
    start: int
    end: int
    harts: int
    reserved: tuple[int, ...]
    """The counters that are passed through to guests."""
    counters: tuple[int, ...]
    """All programmable counters of a hart."""
    sessions: tuple[JointSession, ...]
    guests: tuple[GuestFigures, ...]
    owners: tuple[CounterOwner, ...]
    owner_changes: int
    """How often passed-through counters came to hold another vCPU's values."""
    switches: int
    """How often a vCPU left its hart."""
    migrations: int
    sbi_calls: int
    sbi_calls_by_function: dict[str, int]
    sbi_calls_by_origin: dict[str, int]
    overflow_irqs: dict[str, int]
    overflows: tuple[OverflowInterrupt, ...] = ()
    totals: tuple[Totals, ...] = ()
    """At moments in the order of time; the last has all."""
    happened: tuple[Happening, ...] = ()
    owners_grain: int = 0
    """Intervals of `owners` that are shorter than this, in ns, and gaps between them, are left out:
    0 unless there were very many."""
    unused: tuple[str, ...] = ()
    """Whose each of a hart's 32 counters is while nobody uses it: "host" (reserved), "guests"
    (passed through), "firmware" (who hands it out), "clock" (the time), "free", or "absent"."""
    running: bool = False
    """Whether it goes on: what there was so far."""
