"""Physical memory as the kernel hands it out: 4 KiB frames by physical page number.

Private pages come from the bottom of RAM upwards and are counted by their mappings. Pages of the
same 2 MiB of an address space lie in one run of 512 frames, each at its own place in it, as a huge
page's would (and an emulator that bets on that translates sooner). File pages
(the page cache) come from the top downwards in windows of sixteen and stay until their file is
forgotten, so whether a frame belongs to a file is one comparison.
"""

PAGE = 4096
RUN = 512  # frames of a run: what a last-level table maps
WINDOW = 16  # Linux's fault-around: 64 KiB, mm/memory.c, fault_around_bytes
ZEROS = bytes(PAGE)


class OutOfMemory(Exception):
    """No frame is left; the kernel kills the task that asked, as the OOM killer would."""


class Run:
    """512 consecutive frames, aligned: which of them are taken, and which may hold old data."""

    __slots__ = ("first", "taken", "used", "owned")

    def __init__(self, first):
        self.first = first
        self.taken = self.used = 0  # a bit for each frame
        self.owned = True  # by an address space that may still take frames of it


class Frames:
    """The allocator. The first `reserved` bytes of RAM are the firmware's and the kernel's."""

    def __init__(self, ram, reserved):
        self.ram = ram
        self.view = ram.view
        self.words = ram.view.cast("Q")
        self.code = ram.code.view  # not 0 for pages that the engine has decoded
        self.base = ram.base
        self.next = (ram.base + reserved) >> 12
        self.floor = (ram.base + ram.size) >> 12  # frames from here up are the page cache's
        self.free = []
        self.free_windows = []
        self.runs = {}  # first frame -> Run
        self.free_runs = []
        self.spare = 0  # frames of runs that are not taken
        self.shares = {}  # frame -> mappings, for frames that have more than one
        self.total = self.floor - self.next
        self.zero = self.allocate()  # what anonymous memory reads as before it is written

    def allocate(self):
        """A frame of zeros, mapped once. Raises OutOfMemory."""
        if self.free:
            frame = self.free.pop()
            at = (frame << 12) - self.base
            self.view[at : at + PAGE] = ZEROS
            self.wrote(at)
            return frame
        frame = self.next
        if frame >= self.floor:
            return self.squeeze()
        self.next = frame + 1
        return frame

    def squeeze(self):
        """A frame of zeros out of some run, when there is nothing else left."""
        for run in self.runs.values():
            if run.taken != (1 << RUN) - 1:
                free = ~run.taken
                return self.take(run, (free & -free).bit_length() - 1)
        raise OutOfMemory

    def reserve(self):
        """A run of frames for one address space to take from, or None if RAM is too short."""
        if self.free_runs:
            run = self.free_runs.pop()
            run.owned = True
            return run
        first = -(-self.next // RUN) * RUN
        if first + RUN > self.floor:
            return None
        self.free.extend(range(first - 1, self.next - 1, -1))
        self.next = first + RUN
        self.spare += RUN
        run = self.runs[first] = Run(first)
        return run

    def give_back(self, run):
        """The address space that a run was reserved for takes no more frames of it."""
        run.owned = False
        if not run.taken:
            self.free_runs.append(run)

    def take(self, run, place):
        """The frame at a place of a run, zeroed and mapped once; any other if that one is taken.

        Raises OutOfMemory.
        """
        bit = 1 << place
        if run.taken & bit:
            return self.allocate()
        run.taken |= bit
        self.spare -= 1
        frame = run.first + place
        if run.used & bit:
            at = (frame << 12) - self.base
            self.view[at : at + PAGE] = ZEROS
            self.wrote(at)
        return frame

    def allocate_copy(self, source, run=None, place=0):
        """A frame with the contents of the frame `source`, mapped once; at its place in a run if
        one is given. Raises OutOfMemory."""
        frame = self.allocate() if run is None else self.take(run, place)
        to, at = (frame << 12) - self.base, (source << 12) - self.base
        self.view[to : to + PAGE] = self.view[at : at + PAGE]
        self.wrote(to)
        return frame

    def share(self, frame):
        """Counts one more mapping of a private frame."""
        if frame < self.floor and frame != self.zero:
            self.shares[frame] = self.shares.get(frame, 1) + 1

    def release(self, frame):
        """Counts one mapping less; the last one frees the frame."""
        if frame >= self.floor or frame == self.zero:
            return
        mappings = self.shares.get(frame)
        if mappings is None:
            run = self.runs.get(frame - frame % RUN)
            if run is None:
                self.free.append(frame)
                return
            bit = 1 << frame % RUN
            run.taken &= ~bit
            run.used |= bit
            self.spare += 1
            if not run.taken and not run.owned:
                self.free_runs.append(run)
        elif mappings == 2:
            del self.shares[frame]
        else:
            self.shares[frame] = mappings - 1

    def exclusive(self, frame):
        """True if a write to this frame is seen through one mapping only."""
        return frame < self.floor and frame != self.zero and frame not in self.shares

    def allocate_window(self):
        """Sixteen consecutive frames of zeros for the page cache; the first one's number."""
        if self.free_windows:
            first = self.free_windows.pop()
            at = (first << 12) - self.base
            self.view[at : at + WINDOW * PAGE] = bytes(WINDOW * PAGE)
            for page in range(WINDOW):
                self.wrote(at + page * PAGE)
            return first
        if self.floor - WINDOW < self.next:
            raise OutOfMemory
        self.floor -= WINDOW
        return self.floor

    def release_window(self, first):
        """Gives a window back. The caller knows that nothing maps it."""
        self.free_windows.append(first)

    def wrote(self, at):
        """Tells the machine that the page at an index of `view` has been written."""
        if self.code[at >> 12]:
            self.ram.on_code_write(at >> 12)

    def at(self, frame):
        """Where the frame begins in `view`."""
        return (frame << 12) - self.base

    def available(self):
        """Bytes not handed out."""
        windows = WINDOW * len(self.free_windows)
        return (self.floor - self.next + len(self.free) + self.spare + windows) * PAGE
