"""The Supervisor Binary Interface (SBI 2.0 and 3.0): what supervisor software may ask of whatever
runs above it. Declared once, for firmware and hypervisors that serve it and kernels that ask.

A call has its extension in a7, its function in a6 and up to six arguments from a0 on; it gives an
error in a0 and a value in a1 (SBI 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum, IntFlag

from isa.record import Record

MASK = (1 << 64) - 1
A0, A1, A6, A7 = 10, 11, 16, 17


class Error(IntEnum):
    """What a call gives in a0."""

    SUCCESS = 0
    FAILED = -1
    NOT_SUPPORTED = -2
    INVALID_PARAM = -3
    DENIED = -4
    INVALID_ADDRESS = -5
    ALREADY_AVAILABLE = -6
    ALREADY_STARTED = -7
    ALREADY_STOPPED = -8
    NO_SHMEM = -9
    INVALID_STATE = -10
    BAD_RANGE = -11


class Refused(Exception):
    """A call that gives an error."""

    def __init__(self, error: Error):
        self.error = error


class Extension(IntEnum):
    """Extensions, by what a7 holds: mostly their names in ASCII."""

    BASE = 0x10
    TIME = 0x54494D45
    IPI = 0x735049
    RFENCE = 0x52464E43
    HSM = 0x48534D
    SRST = 0x53525354
    PMU = 0x504D55


class Base(IntEnum):
    """Functions of BASE (SBI 4)."""

    GET_SPEC_VERSION = 0
    GET_IMPL_ID = 1
    GET_IMPL_VERSION = 2
    PROBE_EXTENSION = 3
    GET_MVENDORID = 4
    GET_MARCHID = 5
    GET_MIMPID = 6


class Time(IntEnum):
    """Functions of TIME (SBI 6)."""

    SET_TIMER = 0


class Ipi(IntEnum):
    """Functions of IPI (SBI 7)."""

    SEND_IPI = 0


class Rfence(IntEnum):
    """Functions of RFENCE (SBI 8)."""

    FENCE_I = 0
    SFENCE_VMA = 1
    SFENCE_VMA_ASID = 2
    HFENCE_GVMA_VMID = 3
    HFENCE_GVMA = 4
    HFENCE_VVMA_ASID = 5
    HFENCE_VVMA = 6


class Hsm(IntEnum):
    """Functions of HSM (SBI 9)."""

    HART_START = 0
    HART_STOP = 1
    HART_GET_STATUS = 2
    HART_SUSPEND = 3


class HartState(IntEnum):
    """What HART_GET_STATUS gives."""

    STARTED = 0
    STOPPED = 1


class Srst(IntEnum):
    """Functions of SRST (SBI 10)."""

    SYSTEM_RESET = 0


class Pmu(IntEnum):
    """Functions of PMU (SBI 11)."""

    NUM_COUNTERS = 0
    COUNTER_GET_INFO = 1
    COUNTER_CFG_MATCH = 2
    COUNTER_START = 3
    COUNTER_STOP = 4
    COUNTER_FW_READ = 5
    COUNTER_FW_READ_HI = 6
    SNAPSHOT_SET_SHMEM = 7
    EVENT_GET_INFO = 8


FUNCTIONS: Mapping[int, type[IntEnum]] = {
    Extension.BASE: Base,
    Extension.TIME: Time,
    Extension.IPI: Ipi,
    Extension.RFENCE: Rfence,
    Extension.HSM: Hsm,
    Extension.SRST: Srst,
    Extension.PMU: Pmu,
}
OPENSBI, KVM = 1, 3  # implementation ids


def name_of(extension: int, function: int) -> str:
    """`PMU.COUNTER_START` of 0x504d55, 3; numbers where there are no names."""
    if extension not in FUNCTIONS:
        return f"{extension:#x}.{function}"
    functions = FUNCTIONS[extension]
    known = function in functions._value2member_map_
    return f"{Extension(extension).name}.{functions(function).name if known else function}"


def version(major: int, minor: int) -> int:
    """A version of the specification, as GET_SPEC_VERSION gives it."""
    return major << 24 | minor


# The performance monitoring unit's arguments (SBI 11).


class CfgFlag(IntFlag):
    """Flags of COUNTER_CFG_MATCH. The last five say in which modes the counter stands still."""

    SKIP_MATCH = 1 << 0
    CLEAR_VALUE = 1 << 1
    AUTO_START = 1 << 2
    SET_VUINH = 1 << 3
    SET_VSINH = 1 << 4
    SET_UINH = 1 << 5
    SET_SINH = 1 << 6
    SET_MINH = 1 << 7


class StartFlag(IntFlag):
    """Flags of COUNTER_START, at most one of them."""

    SET_INIT_VALUE = 1 << 0
    INIT_SNAPSHOT = 1 << 1


class StopFlag(IntFlag):
    """Flags of COUNTER_STOP."""

    RESET = 1 << 0
    TAKE_SNAPSHOT = 1 << 1


class EventType(IntEnum):
    """Bits 19:16 of an event_idx."""

    GENERAL = 0
    CACHE = 1
    RAW = 2
    RAW_V2 = 3
    FIRMWARE = 15


TYPE_AT, CODE = 16, 0xFFFF
EVENT_IDX = (1 << 20) - 1

GENERAL = {
    1: "cycles",
    2: "instructions",
    3: "cache-references",
    4: "cache-misses",
    5: "branches",
    6: "branch-misses",
    7: "bus-cycles",
    8: "stalled-cycles-frontend",
    9: "stalled-cycles-backend",
    10: "ref-cycles",
}
"""General hardware events, by event_idx, with perf's names."""
CACHES = ("L1-dcache", "L1-icache", "LLC", "dTLB", "iTLB", "branch", "node")
CACHE_EVENTS = tuple(
    EventType.CACHE << TYPE_AT | cache << 3 | operation << 1 | result
    for cache in range(len(CACHES))
    for operation in range(3)  # read, write, prefetch
    for result in range(2)  # access, miss
)
"""The event_idx of each cache event."""
RAW_EVENT, RAW_EVENT_V2 = EventType.RAW << TYPE_AT, EventType.RAW_V2 << TYPE_AT


class FirmwareEvent(IntEnum):
    """Codes of firmware events: what the firmware itself counts."""

    MISALIGNED_LOAD = 0
    MISALIGNED_STORE = 1
    ACCESS_LOAD = 2
    ACCESS_STORE = 3
    ILLEGAL_INSN = 4
    SET_TIMER = 5
    IPI_SENT = 6
    IPI_RECEIVED = 7
    FENCE_I_SENT = 8
    FENCE_I_RECEIVED = 9
    SFENCE_VMA_SENT = 10
    SFENCE_VMA_RECEIVED = 11
    SFENCE_VMA_ASID_SENT = 12
    SFENCE_VMA_ASID_RECEIVED = 13
    HFENCE_GVMA_SENT = 14
    HFENCE_GVMA_RECEIVED = 15
    HFENCE_GVMA_VMID_SENT = 16
    HFENCE_GVMA_VMID_RECEIVED = 17
    HFENCE_VVMA_SENT = 18
    HFENCE_VVMA_RECEIVED = 19
    HFENCE_VVMA_ASID_SENT = 20
    HFENCE_VVMA_ASID_RECEIVED = 21

    @property
    def event_idx(self) -> int:
        """What COUNTER_CFG_MATCH is told."""
        return EventType.FIRMWARE << TYPE_AT | self


def is_firmware(event_idx: int) -> bool:
    """Whether the firmware counts it, and not the hart."""
    return event_idx >> TYPE_AT == EventType.FIRMWARE


class CounterInfo(Record):
    """What COUNTER_GET_INFO gives: a hart's counter has the CSR that reads it, and its width in
    bits; of the firmware's only `firmware` counts."""

    csr: int = 0
    width: int = 64
    firmware: bool = False

    @property
    def value(self) -> int:
        """As a number: bits 11:0 the CSR, 17:12 the width less one, 63 whether it's firmware's."""
        return self.csr | self.width - 1 << 12 | self.firmware << 63

    @classmethod
    def of(cls, value: int) -> CounterInfo:
        """What a number says."""
        return cls(value & 0xFFF, (value >> 12 & 63) + 1, bool(value >> 63))


def counter_set(base: int, mask: int, total: int) -> list[int]:
    """The counters that bits of `mask` name from `base` on, of `total`. Refused if there are none,
    or one lies beyond."""
    if not mask or base + mask.bit_length() > total:
        raise Refused(Error.INVALID_PARAM)
    return [base + at for at in bits(mask)]


def bits(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set, rising."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class Snapshot:
    """The page that a kernel shares for counter snapshots, at a physical address of `memory`, an
    object with load(pa, size) and store(pa, size, value).

    Indices are relative to the counter_idx_base of the call (SBI 11.7).
    """

    SIZE, COUNTERS = 4096, 64
    OVERFLOW_AT, VALUES_AT = 0, 8

    def __init__(self, memory, address: int):
        self.memory = memory
        self.address = address

    @property
    def overflow(self) -> int:
        """The bitmap of counters that have overflowed."""
        return self.memory.load(self.address + self.OVERFLOW_AT, 8)

    @overflow.setter
    def overflow(self, bitmap: int) -> None:
        self.memory.store(self.address + self.OVERFLOW_AT, 8, bitmap)

    def __getitem__(self, index: int) -> int:
        return self.memory.load(self.address + self.VALUES_AT + 8 * index, 8)

    def __setitem__(self, index: int, value: int) -> None:
        self.memory.store(self.address + self.VALUES_AT + 8 * index, 8, value & MASK)

    @classmethod
    def share(cls, memory, low: int, high: int, flags: int) -> Snapshot | None:
        """What SNAPSHOT_SET_SHMEM asks for: the page, or None to share none any longer. Refused as
        the specification says. `memory` tells by contains(pa, size) what there is."""
        if low == high == MASK:
            return None
        if flags or low % cls.SIZE:
            raise Refused(Error.INVALID_PARAM)
        if high or not memory.contains(low, cls.SIZE):
            raise Refused(Error.INVALID_ADDRESS)
        return cls(memory, low)


def tell_events(
    memory, low: int, high: int, count: int, flags: int, supports: Callable[[int, int], bool]
) -> None:
    """EVENT_GET_INFO: say of each of `count` entries, of 16 bytes each at `low`, whether its event
    is supported. An entry is event_idx (32 bits), the answer (32), and event_data (64)."""
    if flags or not count or low % 16:
        raise Refused(Error.INVALID_PARAM)
    if high or not memory.contains(low, 16 * count):
        raise Refused(Error.INVALID_ADDRESS)
    for at in range(low, low + 16 * count, 16):
        supported = supports(memory.load(at, 4), memory.load(at + 8, 8))
        memory.store(at + 4, 4, int(supported))


# Serving calls.

Service = Mapping[int, Callable[..., int | None]]


def serve(x, services: Mapping[int, Service]) -> None:
    """Do the call that the registers `x` ask for, and put there what it gives.

    services[extension][function] takes the six arguments and gives the value, None for 0, or is
    Refused.
    """
    service = services.get(x[A7], {}).get(x[A6])
    error, value = Error.SUCCESS, None
    try:
        if service is None:
            raise Refused(Error.NOT_SUPPORTED)
        value = service(*x[A0 : A0 + 6])
    except Refused as refused:
        error = refused.error
    x[A0], x[A1] = error & MASK, (value or 0) & MASK


def base(
    services: Mapping[int, Service],
    spec: tuple[int, int],
    implementation: int,
    implementation_version: int,
    identity: tuple[int, int, int] = (0, 0, 0),
) -> Service:
    """The service of BASE; `services` is what PROBE_EXTENSION finds, and `identity` are mvendorid,
    marchid and mimpid."""
    vendor, architecture, machine = identity
    return {
        Base.GET_SPEC_VERSION: lambda *_: version(*spec),
        Base.GET_IMPL_ID: lambda *_: implementation,
        Base.GET_IMPL_VERSION: lambda *_: implementation_version,
        Base.PROBE_EXTENSION: lambda extension, *_: int(extension in services),
        Base.GET_MVENDORID: lambda *_: vendor,
        Base.GET_MARCHID: lambda *_: architecture,
        Base.GET_MIMPID: lambda *_: machine,
    }
