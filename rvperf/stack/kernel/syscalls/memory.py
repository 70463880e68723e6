"""System calls on memory: brk, mmap and what changes a mapping. See mmap(2), mremap(2)."""

from errno import EACCES, EBADF, EFAULT, EINVAL, ENOMEM

from ..files import O_RDWR, MemoryFile
from ..frames import PAGE
from ..memory import PROT_READ, PROT_WRITE, USER_END, check_range, refuse_overlap, round_up
from . import Int, Uint, syscall

MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, MAP_TYPE = 1, 2, 3, 15
MAP_FIXED, MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_HUGETLB = 0x10, 0x20, 0x100, 0x40000
MAP_POPULATE, MAP_FIXED_NOREPLACE = 0x8000, 0x100000
MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP = 1, 2, 4
MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_DONTNEED_LOCKED = 4, 8, 9, 24
MADV_POPULATE_READ, MADV_POPULATE_WRITE = 22, 23
PROT_KNOWN, PROT_GROWSDOWN = 7, 0x01000000


@syscall(214)
def brk(task, addr):
    """The end of the heap, moved if `addr` can be reached; see brk(2), "C library/kernel"."""
    space = task.memory
    if addr < space.brk_start or addr > space.mmap_top:
        return space.brk_end
    old, new = round_up(space.brk_end), round_up(addr)
    if new > old:
        low, high = space.overlapping(old, new)
        if low != high:
            return space.brk_end
        space.map(old, new - old, PROT_READ | PROT_WRITE, name="[heap]")
    elif new < old:
        space.unmap(new, old - new)
    space.brk_end = addr
    return addr


@syscall(222)
def mmap(task, addr, length, prot: Uint, flags: Uint, fd: Int, offset):
    """Maps files or memory."""
    space, kernel = task.memory, task.kernel
    if not length or offset % PAGE:
        raise OSError(EINVAL, "no length, or an offset within a page")
    length = round_up(length)
    kind = flags & MAP_TYPE
    if kind not in (MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE) or flags & MAP_HUGETLB:
        raise OSError(EINVAL, "neither shared nor private, or huge pages")
    prot &= PROT_KNOWN
    shared = kind != MAP_PRIVATE
    file, sealed = None, False
    if not flags & MAP_ANONYMOUS:
        opened = task.descriptors.open.get(fd)
        if opened is None:
            raise OSError(EBADF, "no such descriptor")
        if not opened.readable:
            raise OSError(EACCES, "not open for reading")
        sealed = shared and not opened.writable
        if sealed and prot & PROT_WRITE:
            raise OSError(EACCES, "not open for writing")
        if offset + length > 1 << 63:
            raise OSError(EINVAL, "past any file's end")
        file = opened.mapping(kernel.cache, shared and opened.writable)
    if file is None and shared:
        file, offset = kernel.cache.anonymous(length), 0
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
        check_range(addr, length)
        if addr < PAGE * 16 and task.kernel.uid:
            raise OSError(EACCES, "below vm.mmap_min_addr")
        if flags & MAP_FIXED_NOREPLACE:
            refuse_overlap(space, addr, length)
        at = addr
    else:
        at = space.gap(length, addr)
    grows = bool(flags & MAP_GROWSDOWN)
    space.map(at, length, prot, shared=shared, file=file, offset=offset, grows=grows, sealed=sealed)
    if flags & MAP_POPULATE and prot:
        populate(space, at, length, PROT_WRITE if prot & PROT_WRITE else PROT_READ)
    return at


def populate(space, start, length, access):
    """Gives every page of a range its frame, without counting faults (mm_populate)."""
    with space.uncounted():
        try:
            for va in range(start, start + length, PAGE):
                space.locate(va, access)
        except OSError:
            pass


@syscall(215)
def munmap(task, addr, length):
    """Removes mappings."""
    if not length:
        raise OSError(EINVAL, "no length")
    if addr % PAGE or addr > USER_END or length > USER_END - addr:
        raise OSError(EINVAL, "not a range of pages")
    task.memory.unmap(addr, round_up(length))
    return 0


@syscall(226)
def mprotect(task, addr, len, prot: Uint):
    """Changes the protection of a range."""
    length = check_range(addr, len)
    if not length:
        return 0
    if prot & ~(PROT_KNOWN | PROT_GROWSDOWN):
        raise OSError(EINVAL, "an unknown protection")
    if prot & PROT_GROWSDOWN:
        area = task.memory.find(addr)
        if area is None or not area.grows:
            raise OSError(EINVAL, "not a stack")
        addr, length = area.start, addr + length - area.start
    task.memory.protect(addr, length, prot & PROT_KNOWN)
    return 0


@syscall(216)
def mremap(task, old_address, old_size, new_size, flags: Uint, new_address):
    """Grows, shrinks or moves a mapping."""
    space = task.memory
    if old_address % PAGE or not new_size or flags & ~7:
        raise OSError(EINVAL, "not a page address, or no size")
    if flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) and not flags & MREMAP_MAYMOVE:
        raise OSError(EINVAL, "fixed but not to be moved")
    old_size, new_size = round_up(old_size), round_up(new_size)
    area = space.find(old_address)
    if area is None:
        raise OSError(EFAULT, "nothing mapped there")
    if not old_size:
        if not area.shared:
            raise OSError(EINVAL, "an old size of 0")
        raise OSError(EINVAL, "a second view isn't made")
    if flags & MREMAP_FIXED:
        check_range(new_address, new_size)
        if new_address < old_address + old_size and old_address < new_address + new_size:
            raise OSError(EINVAL, "the ranges overlap")
        space.unmap(new_address, new_size)
    if old_size > new_size:
        space.unmap(old_address + new_size, old_size - new_size)
        old_size = new_size
        area = space.find(old_address)
    if old_address + old_size > area.end:
        raise OSError(EFAULT, "the old range spans mappings")
    if not flags & (MREMAP_FIXED | MREMAP_DONTUNMAP):
        if old_size == new_size:
            return old_address
        extra = new_size - old_size
        end = old_address + old_size
        low, high = space.overlapping(end, end + extra)
        if end == area.end and low == high and end + extra <= USER_END:
            offset = area.offset + end - area.start if area.file is not None else 0
            grow_anonymous(area, offset + extra)
            part = area.part(old_address, end)
            part.start, part.end, part.offset = end, end + extra, offset
            part.private_pages = False
            space.insert(part)
            return old_address
        if not flags & MREMAP_MAYMOVE:
            raise OSError(ENOMEM, "no room to grow")
    to = new_address if flags & MREMAP_FIXED else space.gap(new_size)
    if area.file is not None:
        grow_anonymous(area, area.offset + old_address - area.start + new_size)
    if flags & MREMAP_DONTUNMAP:
        if old_size != new_size:
            raise OSError(EINVAL, "must keep its size")
        left = area.part(old_address, old_address + old_size)
        space.move(old_address, old_size, to, new_size)
        left.private_pages = False
        space.insert(left)
        return to
    space.move(old_address, old_size, to, new_size)
    return to


def grow_anonymous(area, size):
    """Shared memory without a file is as large as its largest view."""
    if area.file is not None and area.file.host is None and area.shared:
        area.file.size = max(area.file.size, size)


@syscall(233)
def madvise(task, addr, length, advice: Int):
    """Most advice changes nothing; what gives pages up does."""
    space = task.memory
    length = check_range(addr, length)
    if advice in (MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE):
        end, at, hole = addr + length, addr, False
        low, high = space.overlapping(addr, end)
        for area in space.areas[low:high]:
            hole |= area.start > at
            start, stop = max(addr, area.start), min(end, area.end)
            if advice != MADV_FREE:
                space.clear(start, stop)
            elif area.file is not None:
                raise OSError(EINVAL, "not anonymous memory")
            at = area.end
        space.changed(None)
        if hole or at < end:
            raise OSError(ENOMEM, "a hole in the range")
        return 0
    if advice in (MADV_POPULATE_READ, MADV_POPULATE_WRITE):
        populate(space, addr, length, PROT_READ if advice == MADV_POPULATE_READ else PROT_WRITE)
        return 0
    if advice == MADV_REMOVE or not (0 <= advice <= 25 or advice in (100, 101)):
        raise OSError(EINVAL, "no such advice")
    return 0


@syscall(227)
def msync(task, addr, length, flags: Int):
    """Puts what shared mappings have written into their files."""
    length = check_range(addr, length)
    if flags & ~7 or flags & 5 == 5:
        raise OSError(EINVAL, "no such flags")
    space = task.memory
    low, high = space.overlapping(addr, addr + length)
    if low == high and length:
        raise OSError(ENOMEM, "nothing mapped there")
    for area in space.areas[low:high]:
        if area.shared and area.file is not None:
            area.file.write_back()
    return 0


@syscall(232)
def mincore(task, addr, length, vec):
    """Which pages are in RAM."""
    length = check_range(addr, length)
    present = bytearray(length // PAGE)
    space = task.memory
    low, high = space.overlapping(addr, addr + length)
    if low == high or space.areas[low].start > addr or space.areas[high - 1].end < addr + length:
        raise OSError(ENOMEM, "a hole in the range")
    for _, va in space.addresses(addr, addr + length):
        present[(va - addr) // PAGE] = 1
    space.write(vec, bytes(present))
    return 0


@syscall(228)
def mlock(task, addr, len):
    """Nothing is ever swapped."""
    return 0


@syscall(229)
def munlock(task, addr, len):
    """Nothing is ever swapped."""
    return 0


@syscall(230)
def mlockall(task, flags: Int):
    """Nothing is ever swapped."""
    return 0


@syscall(231)
def munlockall(task):
    """Nothing is ever swapped."""
    return 0


@syscall(284)
def mlock2(task, addr, len, flags: Int):
    """Nothing is ever swapped."""
    return 0


@syscall(279)
def memfd_create(task, uname, flags: Uint):
    """A file without a name."""
    name = task.memory.read_string(uname, 250)
    if name is None or flags & ~0x1F:
        raise OSError(EINVAL, "a long name, or no such flags")
    kernel = task.kernel
    text = name.decode("utf-8", "surrogateescape")
    pages = kernel.cache.anonymous(0, f"/memfd:{text} (deleted)")
    file = MemoryFile(O_RDWR, pages, text)
    limit = kernel.limit(task.process, 7)[0]
    return task.descriptors.add(file, bool(flags & 1), limit=limit)
