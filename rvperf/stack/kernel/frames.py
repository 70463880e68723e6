"""Physical memory as the kernel hands it out: 4 KiB frames by physical page number.

Private pages come from the bottom of RAM upwards and are counted by their mappings. File pages
(the page cache) come from the top downwards in windows of sixteen and stay until their file is
forgotten, so whether a frame belongs to a file is one comparison.
"""

PAGE = 4096
WINDOW = 16  # Linux's fault-around: 64 KiB, mm/memory.c, fault_around_bytes
ZEROS = bytes(PAGE)


class OutOfMemory(Exception):
    """No frame is left; the kernel kills the task that asked, as the OOM killer would."""


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
            raise OutOfMemory
        self.next = frame + 1
        return frame

    def allocate_copy(self, source):
        """A frame with the contents of the frame `source`, mapped once. Raises OutOfMemory."""
        if self.free:
            frame = self.free.pop()
        else:
            frame = self.next
            if frame >= self.floor:
                raise OutOfMemory
            self.next = frame + 1
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
            self.free.append(frame)
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
        return (self.floor - self.next + len(self.free) + WINDOW * len(self.free_windows)) * PAGE
