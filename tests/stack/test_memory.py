"""Address spaces: random calls against a model of bytes, and the page tables' own rules."""

import errno

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rvperf.machine.traps import Trap
from rvperf.stack.kernel.memory import (
    HELD,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    A,
    AccessFault,
    D,
    R,
    U,
    V,
    W,
    X,
)

from .calling import Caller

PAGE = 4096
FIXED, PRIVATE, SHARED, ANONYMOUS = 0x10, 2, 1, 0x20
BASE = 0x20_0000_0000  # spans two middle tables: pages -8..8 around a boundary of 1 GiB
PAGES = 16
MASK64 = (1 << 64) - 1


class Model:
    """The pages of the window: None, or [protection, bytes]."""

    def __init__(self):
        self.pages = [None] * PAGES

    def map(self, first, count, prot):
        for page in range(first, first + count):
            self.pages[page] = [prot, bytearray(PAGE)]

    def unmap(self, first, count):
        for page in range(first, first + count):
            self.pages[page] = None

    def protect(self, first, count, prot):
        for page in range(first, first + count):
            if self.pages[page] is None:
                return -errno.ENOMEM
        for page in range(first, first + count):
            self.pages[page][0] = prot
        return 0

    def discard(self, first, count):
        hole = False
        for page in range(first, first + count):
            if self.pages[page] is None:
                hole = True
            else:
                self.pages[page][1][:] = bytes(PAGE)
        return -errno.ENOMEM if hole else 0


ranges = st.integers(0, PAGES - 1).flatmap(
    lambda first: st.tuples(st.just(first), st.integers(1, PAGES - first))
)
prots = st.sampled_from([0, 1, 2, 3, 4, 5, 7])
places = st.integers(0, PAGES * PAGE - 9)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("map"), ranges, prots),
        st.tuples(st.just("unmap"), ranges),
        st.tuples(st.just("protect"), ranges, prots),
        st.tuples(st.just("discard"), ranges),
        st.tuples(st.just("store"), places, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("load"), places),
        st.tuples(st.just("fork")),
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    return Caller(tmp_path_factory.mktemp("memory"), size=256 << 20)


def check_tables(memory):
    """Every entry agrees with its area, and points to a frame that is somebody's."""
    frames = memory.frames
    for at, va in memory.addresses(0, 1 << 38):
        pte = memory.words[at]
        area = memory.find(va)
        assert area is not None, "a page outside every area"
        assert not pte & W or pte & R, "writable but not readable: reserved"
        if not area.prot:
            assert pte & HELD and not pte & V
            continue
        assert pte & V and pte & U and pte & A and not pte & HELD
        assert bool(pte & X) == bool(area.prot & PROT_EXEC)
        assert bool(pte & R) == bool(area.prot & (PROT_READ | PROT_WRITE))
        if pte & W:
            assert area.prot & PROT_WRITE and pte & D
            assert area.shared or frames.exclusive(pte >> 10)
        assert frames.ram.contains(pte >> 10 << 12, PAGE)
        frame = pte >> 10
        assert frame not in frames.free
        run = frames.runs.get(frame // 512 * 512)
        assert run is None or run.taken >> frame % 512 & 1, "mapped, but not taken"
    assert frames.spare == sum(512 - run.taken.bit_count() for run in frames.runs.values())
    starts = [area.start for area in memory.areas]
    assert starts == memory.starts == sorted(starts)
    for one, two in zip(memory.areas, memory.areas[1:], strict=False):
        assert one.start < one.end <= two.start


def access(call, at, size, prot):
    """What the hart would do: walks the tables, and takes the page fault if they refuse."""
    memory = call.memory
    for va in {at, at + size - 1}:
        kind = {PROT_READ: "r", PROT_WRITE: "w"}[prot]
        for _ in range(2):
            try:
                call.hart.translate(va, kind)
                break
            except Trap:
                memory.fault(va, prot)
        else:
            raise AssertionError("the fault was answered and the hart still faults")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_memory_is_what_the_calls_made_it(call, steps):
    call("munmap", BASE, PAGES * PAGE)
    model, others = Model(), []
    for step in steps:
        if step[0] == "map":
            (first, count), prot = step[1:]
            at = BASE + first * PAGE
            assert call("mmap", at, count * PAGE, prot, FIXED | PRIVATE | ANONYMOUS, -1, 0) == at
            model.map(first, count, prot)
        elif step[0] == "unmap":
            assert call("munmap", BASE + step[1][0] * PAGE, step[1][1] * PAGE) == 0
            model.unmap(*step[1])
        elif step[0] == "protect":
            (first, count), prot = step[1:]
            before = [page and page[0] for page in model.pages]
            expected = model.protect(first, count, prot)
            got = call("mprotect", BASE + first * PAGE, count * PAGE, prot)
            assert got == expected
            if got:
                assert before == [page and page[0] for page in model.pages]
        elif step[0] == "discard":
            expected = model.discard(*step[1])
            assert call("madvise", BASE + step[1][0] * PAGE, step[1][1] * PAGE, 4) == expected
        elif step[0] == "fork":
            others.append((call.memory.fork(), [page and bytes(page[1]) for page in model.pages]))
        else:
            touch(call, model, step)
        check_tables(call.memory)
    for page in range(PAGES):
        if model.pages[page] and model.pages[page][0] & (PROT_READ | PROT_WRITE):
            call("mprotect", BASE + page * PAGE, PAGE, 1)
            assert call.memory.read(BASE + page * PAGE, PAGE) == model.pages[page][1]
    for other, pages in others:
        check_tables(other)
        for page, data in enumerate(pages):
            area = other.find(BASE + page * PAGE)
            assert (area is None) == (data is None)
            if area is not None and area.prot & (PROT_READ | PROT_WRITE):
                assert other.read(BASE + page * PAGE, PAGE) == data
        other.release()


def touch(call, model, step):
    """Stores or loads as the hart would, and expects what the model says."""
    at = BASE + step[1]
    data = step[2] if step[0] == "store" else bytes(8)
    prot = PROT_WRITE if step[0] == "store" else PROT_READ
    wanted = PROT_WRITE if prot == PROT_WRITE else PROT_READ | PROT_WRITE
    touched = {step[1] // PAGE, (step[1] + len(data) - 1) // PAGE}
    allowed = all(model.pages[page] and model.pages[page][0] & wanted for page in touched)
    try:
        access(call, at, len(data), prot)
    except AccessFault:
        assert not allowed
        return
    assert allowed
    call.hart.mode = 0
    for i, byte in enumerate(data):
        page, offset = divmod(step[1] + i, PAGE)
        if prot == PROT_WRITE:
            call.hart.store(at + i, 1, byte)
            model.pages[page][1][offset] = byte
        else:
            assert call.hart.load(at + i, 1) == model.pages[page][1][offset]


def test_frames_come_back(call):
    frames = call.kernel.frames
    before = frames.available()
    at = call("mmap", 0, 64 * PAGE, 3, PRIVATE | ANONYMOUS, -1, 0)
    for page in range(64):
        call.memory.fault(at + page * PAGE, PROT_WRITE)
    child = call.memory.fork()
    child.fault(at, PROT_WRITE)
    child.release()
    assert call("munmap", at, 64 * PAGE) == 0
    assert before - frames.available() <= 2 * PAGE  # tables stay until the end


def test_reserving_everything_costs_nothing(call):
    size = 64 << 30
    at = call("mmap", 0, size, 0, PRIVATE | ANONYMOUS | 0x4000, -1, 0)
    before = call.kernel.frames.available()
    assert call("mprotect", at, size, 3) == 0
    assert call("madvise", at, size, 4) == 0
    assert call("mremap", at, size, size - PAGE, 0, 0) == at
    assert call("munmap", at, size) == 0
    assert call.kernel.frames.available() == before


def test_lengths_at_the_edge_are_refused(call):
    for length in (0, 1 << 38, (1 << 64) - 1, 1 << 63):
        result = call("mmap", 0, length, 3, PRIVATE | ANONYMOUS, -1, 0)
        assert result in (-errno.EINVAL, -errno.ENOMEM)
    assert call("mmap", (1 << 38) - PAGE, 2 * PAGE, 3, FIXED | PRIVATE | ANONYMOUS, -1, 0) == (
        -errno.ENOMEM
    )
    assert call("munmap", 1, PAGE) == -errno.EINVAL
    assert call("munmap", 0, 1 << 60) == -errno.EINVAL
    assert call("mprotect", 0xFFFFFFFFFFFFF000, PAGE, 3) == -errno.ENOMEM


def test_bad_pointers_are_efault(call):
    for pointer in (8, 1 << 38, (1 << 64) - 8, 1 << 63, 0x5555_0000):
        assert call("uname", pointer) == -errno.EFAULT
        assert call("write", 1, pointer, 8) == -errno.EFAULT
        assert call("openat", -100, pointer, 0, 0) == -errno.EFAULT
        assert call("clock_gettime", 0, pointer) == -errno.EFAULT
        assert call("execve", pointer, 0, 0) == -errno.EFAULT


def test_fixed_noreplace_replaces_nothing(call):
    at = call("mmap", 0, PAGE, 3, PRIVATE | ANONYMOUS, -1, 0)
    flags = 0x100000 | PRIVATE | ANONYMOUS
    assert call("mmap", at, PAGE, 3, flags, -1, 0) == -errno.EEXIST


def test_brk_moves_both_ways_and_clears(call):
    start = call("brk", 0)
    assert call("brk", start + 3 * PAGE) == start + 3 * PAGE
    call.memory.write(start + PAGE, b"x" * 10)
    assert call("brk", start) == start
    assert call("brk", start + 3 * PAGE) == start + 3 * PAGE
    assert call.memory.read(start + PAGE, 10) == bytes(10)
    assert call("brk", 1 << 40) == start + 3 * PAGE
    assert call("brk", start) == start


def test_mremap_moves_what_was_written(call):
    at = call("mmap", 0, 2 * PAGE, 3, PRIVATE | ANONYMOUS, -1, 0)
    call.memory.write(at, b"one")
    call.memory.write(at + PAGE, b"two")
    assert call("mmap", at + 2 * PAGE, PAGE, 0, FIXED | PRIVATE | ANONYMOUS, -1, 0)
    assert call("mremap", at, 2 * PAGE, 4 * PAGE, 0, 0) == -errno.ENOMEM
    new = call("mremap", at, 2 * PAGE, 4 * PAGE, 1, 0)
    assert new > 0 and new != at
    assert call.memory.read(new, 3) == b"one" and call.memory.read(new + PAGE, 3) == b"two"
    assert call.memory.read(new + 3 * PAGE, 3) == bytes(3)
    assert call("uname", at) == -errno.EFAULT
    check_tables(call.memory)


def test_shared_mappings_and_the_file_are_one(call):
    fd = call("openat", -100, "shared", 0o102, 0o600)
    assert call("write", fd, b"a" * 5000, 5000) == 5000
    at = call("mmap", 0, 2 * PAGE, 3, SHARED, fd, 0)
    assert call.memory.read(at + 4990, 20) == b"a" * 10 + bytes(10)
    call.memory.write(at + 2, b"XY")
    out = call.room(8)
    assert call("pread64", fd, out, 4, 0) == 4
    assert call.memory.read(out, 4) == b"aaXY"
    assert call("pwrite64", fd, b"ZZ", 2, 4) == 2
    assert call.memory.read(at, 6) == b"aaXYZZ"
    with pytest.raises(AccessFault):
        call.memory.fault(at + 2 * PAGE, PROT_READ)
    assert call("munmap", at, 2 * PAGE) == 0
    path = call.kernel.current.where.cwd.host + "/shared"
    with open(path, "rb") as file:
        assert file.read(6) == b"aaXYZZ"


def test_private_mappings_leave_the_file_alone(call):
    fd = call("openat", -100, "private", 0o102, 0o600)
    assert call("write", fd, b"file", 4) == 4
    at = call("mmap", 0, PAGE, 3, PRIVATE, fd, 0)
    call.memory.write(at, b"mine")
    out = call.room(8)
    assert call("pread64", fd, out, 4, 0) == 4
    assert call.memory.read(out, 4) == b"file"


def test_a_touch_maps_the_neighbours_that_the_file_has(call):
    fd = call("openat", -100, "around", 0o102, 0o600)
    assert call("ftruncate", fd, 20 * PAGE) == 0
    at = call("mmap", BASE, 32 * PAGE, 1, PRIVATE | FIXED, fd, 0)
    call.memory.fault(at + 5 * PAGE, PROT_READ)
    assert sum(1 for _ in call.memory.addresses(at, at + 32 * PAGE)) == 16
    call.memory.fault(at + 16 * PAGE, PROT_READ)
    assert sum(1 for _ in call.memory.addresses(at, at + 32 * PAGE)) == 20
    with pytest.raises(AccessFault) as caught:
        call.memory.fault(at + 20 * PAGE, PROT_READ)
    assert caught.value.signal == 7  # SIGBUS


def test_the_stack_grows_to_its_limit(call):
    memory = call.memory
    top = (1 << 38) - PAGE
    memory.fault(top - (7 << 20), PROT_WRITE)
    with pytest.raises(AccessFault):
        memory.fault(top - (8 << 20), PROT_WRITE)


def test_the_last_frame_is_found_and_then_the_program_ends(tmp_path, capfd):
    call = Caller(tmp_path, size=16 << 20)
    size = 64 << 20
    at = call("mmap", 0, size, 3, PRIVATE | ANONYMOUS, -1, 0)
    pages = 0
    while not call.kernel.finished:
        call.trap(15, at + pages * PAGE)
        pages += 1
    assert call.kernel.exit.signal == 9
    assert 2000 < pages < 16 * 256
    assert "memory is used up" in capfd.readouterr().err
