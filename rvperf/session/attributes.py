"""From what `record` is asked for to perf_event_attr (tools/perf/util/evsel.c, evlist.c)."""

from __future__ import annotations

import re

from isa.record import Record, replace
from rvperf.events import Event
from rvperf.events.event import MODIFIERS
from rvperf.events.table import DUMMY, SOFTWARE
from rvperf.perfdata.attr import BRANCH, READ, SAMPLE, Attr
from rvperf.perfdata.writer import EventSpec

ALL_REGISTERS = (1 << 32) - 1
DEFAULT_STACK = 8192
CALL_STACK = BRANCH.USER | BRANCH.CALL_STACK | BRANCH.NO_FLAGS | BRANCH.NO_CYCLES


class How(Record):
    """What the options of `record` say of all events, by perf's names where it has them."""

    period: int | None = None
    """-c"""
    freq: int | None = None
    """-F; DEFAULT_FREQ if neither is given."""
    callchain: str | None = None
    """"fp", "dwarf", "lbr" or "exact"."""
    stack_size: int = DEFAULT_STACK
    max_stack: int = 127
    branches: int = 0
    """branch_sample_type of -b and -j."""
    branch_depth: int = 32
    """Records that the hart keeps (Smctr: 16, 32, 64, 128 or 256)."""
    system_wide: bool = False
    data: bool = False
    """-d"""
    phys_data: bool = False
    weight: bool = False
    inherit_stat: bool = False
    """-s"""
    period_field: bool | None = None
    """-P; None leaves it to the events."""
    timestamps: bool = True
    sample_cpu: bool = False
    sample_identifier: bool = False
    raw: bool = False
    running_time: bool = False
    user_registers: int = 0
    data_page_size: bool = False
    code_page_size: bool = False
    no_samples: bool = False
    inherit: bool = True
    delay_ms: int = 0
    """Before events are enabled; -1 never enables them."""
    switch_events: bool = False
    namespaces: bool = False
    no_buffering: bool = False
    overwrite: bool = False
    kernel_callchains: bool = True
    user_callchains: bool = True
    skid: int | None = None
    """--skid; None is the machine's own, which is none."""
    host: bool = True
    guest: bool = False
    """Whose code events are about that don't say it themselves (perf_host, perf_guest)."""


DEFAULT_FREQ = 4000
OWN_MODIFIERS = re.compile(f"[:/][{MODIFIERS}]+$")
MACHINE_SKID = 0  # of the machine's PMU: exact
MAX_FREQ = 100_000  # sysctl kernel.perf_event_max_sample_rate


def specs(events: tuple[Event, ...], how: How) -> list[EventSpec]:
    """The events with their attributes and ids, as perf opens them for a workload.

    With -a and --delay there is one event more, `dummy`, which takes the side-band records.
    """
    leaders = leaders_of(events)
    attrs = [attr_of(event, how_for(event, how), leaders[n] == n) for n, event in enumerate(events)]
    for n, attr in enumerate(attrs):
        if leaders[n] != n and events[leaders[n]].sample_read:
            _only_read(attr)
    names = [event.name for event in events]
    if how.system_wide or how.delay_ms:
        attrs.append(_dummy(how))
        names.append("dummy:HG")
        leaders.append(len(leaders))
        _track(attrs[-1], how)
    else:
        _track(attrs[0], how_for(events[0], how))
    if how.sample_identifier or len(attrs) > 1:
        same = all(attr.sample_type == attrs[0].sample_type for attr in attrs)
        for attr in attrs:
            identifier = how.sample_identifier or not same
            attr.sample_type |= SAMPLE.IDENTIFIER if identifier else SAMPLE.ID
    return [
        EventSpec(attr, name, (number + 1,), leader=leader, unit="", scale=1.0)
        for number, (attr, name, leader) in enumerate(zip(attrs, names, leaders, strict=True))
    ]


def leaders_of(events: tuple[Event, ...]) -> list[int]:
    """For each event the place of its group's leader: its own if it is alone."""
    first: dict[int, int] = {}
    return [
        n if event.group is None else first.setdefault(event.group, n)
        for n, event in enumerate(events)
    ]


CHAINS = ("fp", "dwarf", "lbr", "exact")


class ConflictError(Exception):
    """Terms of events that can't be had together."""


def how_for(event: Event, how: How) -> How:
    """What is asked for of one event: its terms go before the options
    (evsel__apply_config_terms)."""
    terms = dict(event.terms)
    inherit = how.inherit
    for name, value in event.terms:
        if name in ("inherit", "no-inherit"):
            inherit = bool(value) == (name == "inherit")
    chain, stack = terms.get("call-graph"), terms.get("stack-size", 0)
    deepest = terms.get("max-stack", 0)
    if deepest and chain is None:
        chain = "fp"
    own = replace(how, inherit=inherit)
    if chain == "no":
        return replace(own, callchain=None)
    if chain not in CHAINS:  # perf goes on with what the options say
        return own
    size = -(-stack // 8) * 8 or how.stack_size
    return replace(own, callchain=chain, stack_size=size, max_stack=deepest or how.max_stack)


def joined(events: tuple[Event, ...], how: How) -> How:
    """What has to be known at each sample, for all events. Raises ConflictError."""
    own = [how_for(event, how) for event in events] or [how]
    chains = {one.callchain for one in own} - {None}
    if len(chains) > 1:
        names = " and ".join(sorted(chains))
        raise ConflictError(f"events can't have call graphs of kinds {names} in one recording")
    if len({one.inherit for one in own}) > 1:
        raise ConflictError("either all events are inherited by child tasks or none is")
    return replace(
        how,
        callchain=chains.pop() if chains else None,
        stack_size=max(one.stack_size for one in own),
        max_stack=max(one.max_stack for one in own),
        inherit=own[0].inherit,
    )


def period_of(event: Event, how: How) -> tuple[int, int]:
    """(period, frequency), of which one is 0: the event's own terms, -c or -F, a default."""
    terms = dict(event.terms)
    if "period" in terms:
        return int(terms["period"]), 0
    if "freq" in terms:
        return 0, int(terms["freq"])
    if how.period is not None:
        return how.period, 0
    if event.kind == "tracepoint" and how.freq is None:
        return 1, 0
    return 0, DEFAULT_FREQ if how.freq is None else how.freq


def attr_of(event: Event, how: How, leads: bool) -> Attr:
    """evsel__config()."""
    attr = Attr(type=event.type, config=event.config & 0xFFFFFFFF)
    if event.type != SOFTWARE:
        attr.config = event.config
    for flag in ("exclude_user", "exclude_kernel", "exclude_hv", "exclude_idle"):
        setattr(attr, flag, getattr(event, flag))
    attr.exclude_host, attr.exclude_guest = excluded_sides(event, how)
    attr.precise_ip = 3 if event.precise_max else event.precise
    attr.pinned, attr.exclusive = event.pinned, event.exclusive
    attr.sample_id_all = 1
    attr.read_format = READ.ID | READ.LOST
    period, freq = period_of(event, how)
    attr.sample_period = freq or period
    attr.freq = bool(freq)
    kind = SAMPLE.IP | SAMPLE.TID
    if freq:
        kind |= SAMPLE.PERIOD
    if event.kind == "tracepoint":
        kind |= SAMPLE.RAW | SAMPLE.TIME | SAMPLE.CPU | SAMPLE.PERIOD
    if event.sample_read:
        kind |= SAMPLE.READ | SAMPLE.ID
        attr.read_format |= READ.GROUP
    else:
        attr.inherit = how.inherit
    if how.inherit_stat:
        attr.inherit_stat = 1
    if how.inherit_stat or how.running_time:
        attr.read_format |= READ.TOTAL_TIME_ENABLED | READ.TOTAL_TIME_RUNNING
    if how.no_samples:
        attr.sample_period = 0
    address = how.data or how.callchain == "dwarf"
    wanted = {
        SAMPLE.TIME: dict(event.terms).get("time", how.timestamps) or how.raw,
        SAMPLE.ADDR: address,
        SAMPLE.DATA_SRC: address,
        SAMPLE.PHYS_ADDR: how.phys_data,
        SAMPLE.CPU: how.system_wide or how.sample_cpu or how.raw,
        SAMPLE.RAW: how.raw,
        SAMPLE.WEIGHT: how.weight,
        SAMPLE.DATA_PAGE_SIZE: how.data_page_size,
        SAMPLE.CODE_PAGE_SIZE: how.code_page_size,
        SAMPLE.CALLCHAIN: how.callchain is not None,
        SAMPLE.BRANCH_STACK: bool(how.branches) or how.callchain == "lbr",
        SAMPLE.REGS_USER: bool(how.user_registers) or how.callchain == "dwarf",
        SAMPLE.STACK_USER: how.callchain == "dwarf",
    }
    for bit, on in wanted.items():
        kind |= bit if on else 0
    if how.period_field is not None:
        kind = kind | SAMPLE.PERIOD if how.period_field else kind & ~SAMPLE.PERIOD
    attr.sample_type = kind
    attr.branch_sample_type = how.branches
    if how.callchain == "lbr":
        attr.branch_sample_type |= CALL_STACK
    if how.callchain:
        attr.exclude_callchain_kernel = not how.kernel_callchains
        hidden = how.callchain == "dwarf" or not how.user_callchains
        attr.exclude_callchain_user = hidden
    if how.callchain == "dwarf":
        attr.sample_regs_user, attr.sample_stack_user = ALL_REGISTERS, how.stack_size
    if how.user_registers:
        attr.sample_regs_user |= how.user_registers
    if how.callchain and how.max_stack != 127:
        attr.sample_max_stack = how.max_stack
    attr.wakeup_events = how.no_buffering
    attr.write_backward = how.overwrite
    if leads:
        attr.disabled = 1
        attr.enable_on_exec = not how.delay_ms and not how.system_wide
    return attr


def excluded_sides(event: Event, how: How) -> tuple[bool, bool]:
    """(exclude_host, exclude_guest) (get_event_modifier, event_attr_init).

    Modifiers of an event's own say it all; u leaves guests out unless they are asked for, p does in
    any case. Otherwise it is the group's G or H, or what `how` says.
    """
    own = OWN_MODIFIERS.search(event.name)
    letters = own.group() if own else ""
    if {"G", "H"} & set(letters):
        return event.exclude_host, event.exclude_guest
    if letters:
        return False, "p" in letters or "u" in letters and not how.guest
    if event.exclude_host:
        return True, False
    users = event.exclude_kernel and not event.exclude_user
    if event.exclude_guest and (event.precise or not users):
        return False, True
    return not how.host, not how.guest


def _only_read(attr: Attr) -> None:
    """A member of a group whose leader samples for all."""
    attr.freq = attr.sample_period = attr.inherit = 0
    attr.read_format |= READ.GROUP
    attr.sample_type |= SAMPLE.READ | SAMPLE.ID


def _dummy(how: How) -> Attr:
    kind = SAMPLE.IP | SAMPLE.TID | SAMPLE.TIME
    attr = Attr(
        type=SOFTWARE, config=DUMMY, sample_period=1, sample_type=kind, sample_id_all=1,
        read_format=READ.ID | READ.LOST, inherit=how.inherit,
    )  # fmt: skip
    if how.system_wide:
        attr.sample_type |= SAMPLE.CPU
    else:
        attr.disabled = attr.enable_on_exec = 1
    return attr


def _track(attr: Attr, how: How) -> None:
    """The event whose side-band records tell of tasks and mappings."""
    for flag in ("mmap", "comm", "task", "mmap2", "comm_exec", "ksymbol", "bpf_event", "build_id"):
        setattr(attr, flag, 1)
    attr.mmap_data = how.data or how.callchain == "dwarf"
    attr.context_switch = how.switch_events
    attr.namespaces = how.namespaces
