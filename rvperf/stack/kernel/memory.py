"""An address space: its areas, its Sv39 page tables in guest RAM, and the kernel's copies to and
from it.

The page tables are what the hart walks. Nothing else says which frame a page has; `leaves` only
remembers where in RAM each last-level table lies.
"""

from bisect import bisect_right
from contextlib import contextmanager
from errno import EACCES, EEXIST, EFAULT, EINVAL, ENOMEM
from signal import SIGBUS, SIGSEGV

from .frames import PAGE, WINDOW

# Bits of a page table entry (privileged manual, "Sv32 Addressing and Memory Protection").
V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
HELD = 1 << 8  # ours: the page has a frame, but PROT_NONE hides it
FLAGS = 0x3FF

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4  # also the kinds of access
USER_END = 1 << 38
STACK_GAP = 256 * PAGE  # mm/mmap.c, stack_guard_gap
STACK_ROOM = 128 << 20  # arch_pick_mmap_layout()
MAX_AREAS = 65530  # vm.max_map_count
INHERITED = (  # what fork copies besides areas and pages
    "mmap_top",
    "stack_limit",
    "brk_start",
    "brk_end",
    "arguments",
    "environment",
    "auxv",
    "executable",
    "sigreturn_address",
)

SEGV_MAPERR, SEGV_ACCERR, BUS_ADRERR = 1, 2, 2


class AccessFault(Exception):
    """An access that the address space doesn't allow: the signal and si_code that tell so."""

    def __init__(self, signal, code, address):
        super().__init__(signal, code, address)
        self.signal, self.code, self.address = signal, code, address


class Area:
    """A range of addresses with one protection and one thing behind it (vm_area_struct)."""

    __slots__ = (
        "start",
        "end",
        "prot",
        "shared",
        "file",
        "offset",
        "name",
        "grows",
        "sealed",  # a shared view of a file that isn't open for writing
        "private_pages",  # has frames of its own, which fork must share
    )

    def __init__(self, start, end, prot, shared=False, file=None, offset=0, name="", grows=False):
        self.start, self.end, self.prot, self.shared = start, end, prot, shared
        self.file, self.offset, self.name, self.grows = file, offset, name, grows
        self.sealed = self.private_pages = False

    def part(self, start, end):
        """The same area, cut to a range."""
        offset = self.offset + start - self.start if self.file is not None else 0
        made = Area(start, end, self.prot, self.shared, self.file, offset, self.name, self.grows)
        made.sealed, made.private_pages = self.sealed, self.private_pages
        return made

    def joins(self, other):
        """True if `other`, which begins where this one ends, can be one area with it."""
        return (
            self.end == other.start
            and self.prot == other.prot
            and self.shared == other.shared
            and self.file is other.file
            and self.name == other.name
            and self.grows == other.grows
            and self.sealed == other.sealed
            and (self.file is None or self.offset + self.end - self.start == other.offset)
        )


class AddressSpace:
    """One process's memory. `changed(va)` is told which page to forget, or None for all of them."""

    def __init__(self, frames, counts, changed):
        self.frames = frames
        self.view, self.words, self.base = frames.view, frames.words, frames.base
        self.counts = counts
        self.changed = changed
        self.root = frames.allocate()
        self.tables = [self.root]
        self.leaves = {}  # va >> 21 -> index in words of its last-level table
        self.middles = {}  # va >> 30 -> index in words of its middle table
        self.runs = {}  # va >> 21 -> the frames reserved for it
        self.areas = []
        self.starts = []
        self.users = 1
        self.mmap_top = USER_END - STACK_ROOM
        self.stack_limit = 8 << 20
        self.brk_start = self.brk_end = 0
        self.arguments = (0, 0)  # where argv's strings lie, for /proc/self/cmdline
        self.environment = (0, 0)
        self.auxv = b""
        self.executable = None
        self.sigreturn_address = 0
        self.watcher = None  # told what is `mapped` and `faulted`, if somebody records

    # Areas

    def find(self, va):
        """The area that holds an address, or None."""
        i = bisect_right(self.starts, va) - 1
        if i >= 0 and va < self.areas[i].end:
            return self.areas[i]
        return None

    def overlapping(self, start, end):
        """The slice of `areas` that touches [start, end)."""
        low = bisect_right(self.starts, start) - 1
        if low < 0 or self.areas[low].end <= start:
            low += 1
        high = low
        while high < len(self.areas) and self.areas[high].start < end:
            high += 1
        return low, high

    def insert(self, area):
        """Adds an area where there is none, joined to its neighbours where that changes nothing."""
        at = bisect_right(self.starts, area.start)
        if area.file is not None:
            area.file.users += 1
        before = self.areas[at - 1] if at else None
        if before is not None and before.joins(area):
            before.end = area.end
            before.private_pages |= area.private_pages
            self.drop(area)
            area, at = before, at - 1
        else:
            self.areas.insert(at, area)
            self.starts.insert(at, area.start)
        after = self.areas[at + 1] if at + 1 < len(self.areas) else None
        if after is not None and area.joins(after):
            area.end = after.end
            area.private_pages |= after.private_pages
            del self.areas[at + 1], self.starts[at + 1]
            self.drop(after)
        return area

    def drop(self, area):
        """One area less uses its file."""
        file = area.file
        if file is not None:
            file.users -= 1
            if file.users == 0:
                if file.host is None:
                    file.forget()
                else:
                    file.write_back()
                    file.dirty.clear()

    def split(self, start, end):
        """Cuts areas at both ends of a range and returns the slice of those inside it."""
        low, high = self.overlapping(start, end)
        if low == high:
            return low, high
        first = self.areas[low]
        if first.start < start:
            self.cut(low, start)
            low, high = low + 1, high + 1
        if self.areas[high - 1].end > end:
            self.cut(high - 1, end)
        return low, high

    def cut(self, i, at):
        """Makes two areas of area i, the second beginning at an address."""
        area = self.areas[i]
        rest = area.part(at, area.end)
        area.end = at
        if rest.file is not None:
            rest.file.users += 1
        self.areas.insert(i + 1, rest)
        self.starts.insert(i + 1, at)

    def gap(self, length, hint=0):
        """A free range: the hint if it is free, else the highest one below the mmap base.

        Raises OSError ENOMEM.
        """
        if hint:
            hint = hint // PAGE * PAGE
            if PAGE * 16 <= hint <= USER_END - length:
                low, high = self.overlapping(hint, hint + length)
                if low == high:
                    return hint
        end = self.mmap_top
        i = bisect_right(self.starts, end - 1) - 1
        while end >= length + PAGE * 16:
            while i >= 0 and self.areas[i].start >= end:
                i -= 1
            below = self.areas[i].end if i >= 0 else 0
            if below < end and end - max(below, PAGE * 16) >= length:
                return end - length
            if i < 0:
                break
            end = min(end, self.areas[i].start)
            i -= 1
        raise OSError(ENOMEM, "no room in the address space")

    def map(self, start, length, prot, **how):
        """Maps a range, in place of what was there; `how` is as for Area. Raises OSError ENOMEM."""
        if len(self.areas) >= MAX_AREAS:
            raise OSError(ENOMEM, "too many areas")
        self.unmap(start, length)
        sealed = how.pop("sealed", False)
        area = Area(start, start + length, prot, **how)
        area.sealed = sealed
        if self.watcher:
            self.watcher.mapped(area.part(area.start, area.end))
        self.insert(area)
        return start

    def unmap(self, start, length):
        """Removes whatever lies in a range; pages with it."""
        low, high = self.split(start, start + length)
        if low == high:
            return
        for area in self.areas[low:high]:
            self.clear(area.start, area.end)
            self.drop(area)
        del self.areas[low:high], self.starts[low:high]
        self.changed(None)

    def protect(self, start, length, prot):
        """Sets the protection of a range. Raises OSError ENOMEM where nothing is mapped, EACCES."""
        end = start + length
        low, high = self.overlapping(start, end)
        at = start
        for area in self.areas[low:high]:
            if area.start > at:
                raise OSError(ENOMEM, "a hole in the range")
            if prot & PROT_WRITE and area.sealed:
                raise OSError(EACCES, "file not open for writing")
            at = area.end
        if at < end:
            raise OSError(ENOMEM, "a hole in the range")
        low, high = self.split(start, end)
        inside = self.areas[low:high]
        for area in inside:
            if area.prot == prot:
                continue
            area.prot = prot
            if self.watcher:
                self.watcher.mapped(area)
            for at, pte in self.entries(area.start, area.end):
                self.words[at] = self.permit(area, pte)
        self.rejoin(low, high)
        self.changed(None)

    def rejoin(self, low, high):
        """Joins neighbours among the areas from low - 1 to high, which a split has left."""
        i = max(low - 1, 0)
        while i + 1 < len(self.areas) and i <= high:
            one, two = self.areas[i], self.areas[i + 1]
            if one.joins(two):
                one.end = two.end
                one.private_pages |= two.private_pages
                del self.areas[i + 1], self.starts[i + 1]
                self.drop(two)
                high -= 1
            else:
                i += 1

    def move(self, old, length, new, new_length):
        """Moves pages and area to a new place (mremap). The new range is free."""
        area = self.find(old)
        moved = area.part(old, old + length)
        low, high = self.split(old, old + length)
        entries = [(self.words[at], at, va) for at, va in self.addresses(old, old + length)]
        for pte, at, va in entries:
            self.words[at] = 0
            self.words[self.slot(va - old + new)] = pte
        self.areas[low].private_pages = False
        inside = self.areas[low:high]
        del self.areas[low:high], self.starts[low:high]
        moved.start, moved.end = new, new + new_length
        self.insert(moved)
        for area in inside:
            self.drop(area)
        self.changed(None)

    def mapped_bytes(self):
        """The size of all areas, for /proc/self/stat."""
        return sum(area.end - area.start for area in self.areas)

    def resident_pages(self):
        """How many pages have frames."""
        return sum(
            sum(1 for pte in self.words[leaf : leaf + 512] if pte) for leaf in self.leaves.values()
        )

    # Page tables

    def slot(self, va):
        """The index in `words` of an address's last-level entry; tables are made on the way."""
        leaf = self.leaves.get(va >> 21)
        if leaf is None:
            middle = self.middles.get(va >> 30)
            if middle is None:
                middle = self.middles[va >> 30] = self.table(
                    ((self.root << 12) - self.base >> 3) + (va >> 30)
                )
            leaf = self.leaves[va >> 21] = self.table(middle + (va >> 21 & 511))
        return leaf + (va >> 12 & 511)

    def allocate(self, va, source=None):
        """A frame for the page at va: of zeros, or a copy of the frame `source`."""
        run = self.runs.get(va >> 21)
        if run is None:
            run = self.frames.reserve()
            if run is None:
                return (
                    self.frames.allocate()
                    if source is None
                    else (self.frames.allocate_copy(source))
                )
            self.runs[va >> 21] = run
        place = va >> 12 & 511
        if source is None:
            return self.frames.take(run, place)
        return self.frames.allocate_copy(source, run, place)

    def table(self, entry):
        """A new table that the entry at index `entry` points to; its own index."""
        frame = self.frames.allocate()
        self.tables.append(frame)
        self.words[entry] = frame << 10 | V
        return (frame << 12) - self.base >> 3

    def addresses(self, start, end):
        """(index in words, address) of every page in the range that has a frame."""
        first, last = start >> 12, end >> 12
        keys = range(first >> 9, (last + 511) >> 9)
        if len(keys) > len(self.leaves):
            keys = sorted(key for key in self.leaves if first >> 9 <= key < keys.stop)
        for key in keys:
            leaf = self.leaves.get(key)
            if leaf is None:
                continue
            low, high = max(first, key << 9), min(last, (key + 1) << 9)
            begin = leaf + (low & 511)
            for i, pte in enumerate(self.words[begin : begin + high - low].tolist()):
                if pte:
                    yield begin + i, (low + i) << 12

    def entries(self, start, end):
        """(index in words, entry) of every page in the range that has a frame."""
        for at, _ in self.addresses(start, end):
            yield at, self.words[at]

    def clear(self, start, end):
        """Takes the pages of a range away."""
        words, release = self.words, self.frames.release
        for at, pte in self.entries(start, end):
            words[at] = 0
            release(pte >> 10)

    def permit(self, area, pte):
        """An entry with the bits that its area's protection gives it now.

        A page becomes writable only by a fault: that is where copies are made and writes noted.
        """
        prot = area.prot
        kept = pte & ~FLAGS
        if not prot:
            return kept | HELD | (pte & D)
        bits = V | U | A | (pte & D)
        if prot & (PROT_READ | PROT_WRITE):
            bits |= R
        if prot & PROT_EXEC:
            bits |= X
        if prot & PROT_WRITE and pte & D:
            if area.shared or self.frames.exclusive(pte >> 10):
                bits |= W
        return kept | bits

    def fault(self, va, access):
        """Gives the page at `va` what an access needs. Raises AccessFault, OutOfMemory."""
        area = self.find(va) if va < USER_END else None
        if area is None:
            area = self.grow_stack(va)
        prot = area.prot
        allowed = prot & (PROT_READ | PROT_WRITE) if access == PROT_READ else prot & access
        if not allowed:
            raise AccessFault(SIGSEGV, SEGV_ACCERR, va)
        at = self.slot(va)
        pte = self.words[at]
        frames = self.frames
        if pte:
            if access == PROT_WRITE and not pte & W:
                frame = pte >> 10
                if area.shared:
                    area.file.dirty.add((va - area.start + area.offset) >> 12)
                elif not frames.exclusive(frame):
                    copy = self.allocate(va, None if frame == frames.zero else frame)
                    frames.release(frame)
                    frame = copy
                    area.private_pages = True
                pte = frame << 10 | D
            self.words[at] = self.permit(area, pte)
            self.changed(va)
            return
        if area.file is None:
            area.private_pages = True
            if access == PROT_WRITE:
                self.words[at] = self.permit(area, self.allocate(va) << 10 | D)
            else:
                self.words[at] = self.permit(area, frames.zero << 10)
            return
        index = (va - area.start + area.offset) >> 12
        if index >= area.file.pages():
            raise AccessFault(SIGBUS, BUS_ADRERR, va)
        if access != PROT_WRITE:
            self.fault_around(area, va, at)
        elif area.shared:
            area.file.dirty.add(index)
            self.words[at] = self.permit(area, area.file.frame(index) << 10 | D)
        else:
            area.private_pages = True
            copy = self.allocate(va, area.file.frame(index))
            self.words[at] = self.permit(area, copy << 10 | D)

    def fault_around(self, area, va, at):
        """Maps the page and those of its aligned 64 KiB that have none yet (do_fault_around)."""
        page = va >> 12
        low = max(page & ~(WINDOW - 1), area.start >> 12)
        shift = (area.offset - area.start) >> 12
        high = min((page & ~(WINDOW - 1)) + WINDOW, area.end >> 12, area.file.pages() - shift)
        words, frame = self.words, area.file.frame
        bits = self.permit(area, 0)
        for other in range(low, high):
            slot = at + other - page
            if not words[slot]:
                words[slot] = frame(other + shift) << 10 | bits

    def limit_stack(self, limit):
        """RLIMIT_STACK, as far as there is room above where mmap begins."""
        self.stack_limit = min(limit, STACK_ROOM - STACK_GAP)

    def grow_stack(self, va):
        """Extends the stack down to an address within its limit. Raises AccessFault."""
        i = bisect_right(self.starts, va)
        area = self.areas[i] if i < len(self.areas) else None
        if area is None or not area.grows or va >= USER_END:
            raise AccessFault(SIGSEGV, SEGV_MAPERR, va)
        start = va // PAGE * PAGE
        below = self.areas[i - 1].end if i else 0
        if area.end - start > self.stack_limit or (i and start - below < STACK_GAP):
            raise AccessFault(SIGSEGV, SEGV_MAPERR, va)
        area.start = self.starts[i] = start
        return area

    # Copies

    def locate(self, va, access):
        """Where in RAM's view an address lies, faulted in as an access by the kernel would.

        Raises OSError EFAULT.
        """
        leaf = self.leaves.get(va >> 21)
        if leaf is not None and va < USER_END:
            pte = self.words[leaf + (va >> 12 & 511)]
            need = V | W if access == PROT_WRITE else V | R
            if pte & need == need:
                return (pte >> 10 << 12) - self.base + (va & 4095)
        if not 0 <= va < USER_END:
            raise OSError(EFAULT, "not an address of the user's")
        try:
            self.fault(va, access)
        except AccessFault:
            raise OSError(EFAULT, "bad address") from None
        self.counts["page-faults"] += 1
        self.counts["minor-faults"] += 1
        if self.watcher:
            self.watcher.faulted(va)
        pte = self.words[self.slot(va)]
        return (pte >> 10 << 12) - self.base + (va & 4095)

    @contextmanager
    def uncounted(self):
        """Faults within are the kernel's own affair, as get_user_pages' are: not counted."""
        before, watcher = dict(self.counts), self.watcher
        self.watcher = None
        yield
        self.counts.update(before)
        self.watcher = watcher

    def physical(self, va):
        """The physical address behind an address; 0 if there is none in RAM."""
        leaf = self.leaves.get(va >> 21)
        pte = self.words[leaf + (va >> 12 & 511)] if leaf is not None and va < USER_END else 0
        return (pte >> 10 << 12) + (va & 4095) if pte & V else 0

    def peek(self, va, count):
        """`count` bytes at an address if all of them are in RAM and readable, else None: what the
        kernel gets where it may not fault (copy_from_user_nofault)."""
        parts = []
        while count:
            leaf = self.leaves.get(va >> 21)
            pte = self.words[leaf + (va >> 12 & 511)] if leaf is not None and va < USER_END else 0
            if pte & (V | R) != V | R:
                return None
            at, size = (pte >> 10 << 12) - self.base + (va & 4095), min(count, PAGE - (va & 4095))
            parts.append(bytes(self.view[at : at + size]))
            va, count = va + size, count - size
        return b"".join(parts)

    def read(self, va, count):
        """`count` bytes at an address. Raises OSError EFAULT."""
        if (va & 4095) + count <= PAGE:
            if not count:
                return b""
            at = self.locate(va, PROT_READ)
            return bytes(self.view[at : at + count])
        return b"".join(self.view[at : at + n] for at, n in self.spans(va, count, PROT_READ))

    def write(self, va, data):
        """Puts bytes at an address. Raises OSError EFAULT; pages before the bad one are written."""
        count = len(data)
        if (va & 4095) + count <= PAGE:
            if count:
                at = self.locate(va, PROT_WRITE)
                self.view[at : at + count] = data
                self.frames.wrote(at)
            return
        data = memoryview(data)
        done = 0
        for at, n in self.spans(va, count, PROT_WRITE):
            self.view[at : at + n] = data[done : done + n]
            self.frames.wrote(at)
            done += n

    def spans(self, va, count, access):
        """(index in RAM's view, length) of each page's part of a range. Raises OSError EFAULT."""
        if not 0 <= va <= USER_END - count:
            raise OSError(EFAULT, "not an address of the user's")
        while count > 0:
            n = min(count, PAGE - (va & 4095))
            yield self.locate(va, access), n
            va, count = va + n, count - n

    def read_string(self, va, limit=PAGE):
        """The bytes at an address up to a zero; None if there is none within the limit."""
        parts = []
        while limit > 0:
            at = self.locate(va, PROT_READ)
            n = min(limit, PAGE - (va & 4095))
            part = bytes(self.view[at : at + n])
            end = part.find(0)
            if end >= 0:
                parts.append(part[:end])
                return b"".join(parts)
            parts.append(part)
            va, limit = va + n, limit - n
        return None

    def load(self, va, size):
        """An unsigned integer of `size` bytes. Raises OSError EFAULT."""
        return int.from_bytes(self.read(va, size), "little")

    def store(self, va, size, value):
        """Stores an integer of `size` bytes. Raises OSError EFAULT."""
        self.write(va, (value & ((1 << 8 * size) - 1)).to_bytes(size, "little"))

    # Whole address spaces

    def fork(self):
        """A copy for a child: private pages are shared until either side writes."""
        child = AddressSpace(self.frames, self.counts, self.changed)
        for name in INHERITED:
            setattr(child, name, getattr(self, name))
        words, share = self.words, self.frames.share
        for area in self.areas:
            copy = area.part(area.start, area.end)
            child.areas.append(copy)
            child.starts.append(copy.start)
            if copy.file is not None:
                copy.file.users += 1
            # Pages that the file can give again are left for the child to fault in, as Linux does.
            if area.shared or not area.private_pages:
                continue
            for at, va in self.addresses(area.start, area.end):
                pte = words[at] & ~W
                words[at] = pte
                words[child.slot(va)] = pte
                share(pte >> 10)
        self.changed(None)
        return child

    def release(self):
        """One user less; the last one gives every frame back."""
        self.users -= 1
        if self.users:
            return
        for area in self.areas:
            self.clear(area.start, area.end)
            self.drop(area)
        self.areas, self.starts = [], []
        for frame in self.tables:
            self.frames.release(frame)
        for run in self.runs.values():
            self.frames.give_back(run)
        self.tables, self.leaves, self.middles, self.runs = [], {}, {}, {}


def round_up(size):
    """A length in whole pages. Raises OSError ENOMEM past the end of the address space."""
    rounded = (size + PAGE - 1) // PAGE * PAGE
    if rounded > USER_END:
        raise OSError(ENOMEM, "longer than the address space")
    return rounded


def check_range(start, length):
    """A page-aligned range within the user's half. Raises OSError EINVAL, ENOMEM."""
    if start % PAGE:
        raise OSError(EINVAL, "not on a page boundary")
    length = round_up(length)
    if start > USER_END - length:
        raise OSError(ENOMEM, "past the end of the address space")
    return length


def refuse_overlap(space, start, length):
    """MAP_FIXED_NOREPLACE: raises OSError EEXIST if anything lies in the range."""
    low, high = space.overlapping(start, start + length)
    if low != high:
        raise OSError(EEXIST, "mapped already")
