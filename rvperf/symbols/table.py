"""A DSO's symbols by address: which ones perf keeps, and which one it finds.

perf 6.1 keeps its symbols in a red-black tree that knows nothing of overlaps. Where symbols do
overlap, the tree's shape decides which one an address gets, and the shape comes from the order of
insertions and removals. `Table` does the same insertions and removals, but only if there is an
overlap; everything else is sorted arrays.
"""

from __future__ import annotations

import numpy as np

from isa.record import Record

# Names and numbers are elf.h's.
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE, STT_GNU_IFUNC = 0, 1, 2, 3, 4, 10
BINDINGS = {STB_LOCAL: "local", STB_GLOBAL: "global", STB_WEAK: "weak", 10: "unique"}
PAGE = 4096


class Symbol(Record):
    """A symbol as perf sees it: [start, end) in the addresses of its DSO, name demangled.

    `linkage_name` is the name in the file; `index` the symbol's place in the DSO's order.
    """

    name: str
    start: int
    end: int
    binding: str
    type: int
    linkage_name: str
    index: int

    @property
    def size(self) -> int:
        return self.end - self.start


class Rows:
    """Symbols in columns: start and end (uint64), binding and type (uint8), names (bytes)."""

    def __init__(self, start, end, binding, type, names):
        self.start = np.asarray(start, np.uint64)
        self.end = np.asarray(end, np.uint64)
        self.binding = np.asarray(binding, np.uint8)
        self.type = np.asarray(type, np.uint8)
        self.names: list[bytes] = list(names)

    def __len__(self):
        return len(self.start)


class Table:
    """Symbols sorted by address, made by the steps of perf: add, mend, add, mend, add."""

    def __init__(self, demangle):
        self.demangle = demangle
        self.rows = Rows([], [], [], [], [])
        self.order = np.zeros(0, np.int64)  # of rows, by address; equals in order of insertion
        self.steps: list[tuple[str, object]] = []
        self._demangled: dict[int, str] = {}
        self._symbols: dict[int, Symbol] = {}
        self._tree = None
        self._ready = False

    def add(self, rows: Rows) -> None:
        """Insert symbols."""
        old = self.rows
        first = len(old)
        self.rows = Rows(
            np.concatenate([old.start, rows.start]),
            np.concatenate([old.end, rows.end]),
            np.concatenate([old.binding, rows.binding]),
            np.concatenate([old.type, rows.type]),
            old.names + rows.names,
        )
        new = np.arange(first, first + len(rows))
        self.steps.append(("insert", range(first, first + len(rows))))
        order = np.concatenate([self.order, new])
        self.order = order[np.argsort(self.rows.start[order], kind="stable")]
        self._ready = False

    def mend(self, kallsyms: bool = False) -> None:
        """Give symbols without a size an end, and leave one symbol to an address.

        symbols__fixup_end and symbols__fixup_duplicate of util/symbol.c.
        """
        order, rows = self.order, self.rows
        if not len(order):
            return
        start, end = rows.start[order], rows.end[order]
        empty = end == start
        following = np.append(start[1:], start[-1] // PAGE * PAGE + PAGE)
        if start[-1] % PAGE:
            following[-1] += np.uint64(PAGE)
        if kallsyms:
            # The last of the kernel's or of a module's symbols ends with its page.
            inside = np.array([b"[" in rows.names[i] for i in order])
            last = np.append(inside[1:] != inside[:-1], False)
            rounded = (start + np.uint64(2 * PAGE - 1)) // np.uint64(PAGE) * np.uint64(PAGE)
            following = np.where(last, rounded, following)
        rows.end[order] = np.where(empty, following, end)
        self._leave_one(order, start)
        self._ready = False

    def _leave_one(self, order, start) -> None:
        same = np.flatnonzero(start[1:] == start[:-1])
        if not len(same):
            return
        gone, best, at = [], None, -2
        for i in same.tolist():
            if i != at + 1:
                best = order[i]
            at = i
            other = order[i + 1]
            if self._first_is_better(best, other):
                gone.append(int(other))
            else:
                gone.append(int(best))
                best = other
        self.steps.append(("erase", gone))
        self.order = order[~np.isin(order, gone)]

    def _first_is_better(self, a: int, b: int) -> bool:
        """choose_best_symbol of util/symbol.c."""
        rows = self.rows
        sizes = [int(rows.end[i] - rows.start[i]) for i in (a, b)]
        if not sizes[1] and 0 < sizes[0] < 1 << 63:
            return True
        if not sizes[0] and 0 < sizes[1] < 1 << 63:
            return False
        bindings = rows.binding[a], rows.binding[b]
        for preferred, wanted in ((STB_WEAK, False), (STB_GLOBAL, True)):
            has = [binding == preferred for binding in bindings]
            if has[0] != has[1]:
                return has[0] == wanted
        if rows.names[a] == rows.names[b]:
            return not rows.names[a].startswith((b"SyS", b"compat_SyS"))
        names = [self.name(i).encode("utf-8", "surrogateescape") for i in (a, b)]
        for count in (lambda name: -(len(name) - len(name.lstrip(b"_"))), len):
            one, two = map(count, names)
            if one != two:
                return one > two
        return not names[0].startswith((b"SyS", b"compat_SyS"))

    def name(self, row: int) -> str:
        """The demangled name of a row."""
        row = int(row)
        if row not in self._demangled:
            self._demangled[row] = self.demangle(self.rows.names[row])
        return self._demangled[row]

    # Looking up.

    def __len__(self):
        return len(self.order)

    def _prepare(self) -> None:
        rows, order = self.rows, self.order
        self.start, self.end = rows.start[order], rows.end[order]
        # An end before its start is one that went over 2**64.
        overlap = len(order) and bool(
            np.any(self.end[:-1] > self.start[1:])
            or np.any(self.start[:-1] == self.start[1:])
            or np.any(self.end < self.start)
        )
        self._tree = _grow(self.steps, rows.start) if overlap else None
        if overlap:
            place = np.full(len(rows), -1)
            place[order] = np.arange(len(order))
            self._places = place
        self._ready = True

    def find(self, addresses) -> np.ndarray:
        """The index of the symbol of each address (an array of uint64), -1 for none."""
        if not self._ready:
            self._prepare()
        addresses = np.asarray(addresses, np.uint64)
        if not len(self.order):
            return np.full(addresses.shape, -1)
        if self._tree is not None:
            return self._find_in_tree(addresses)
        found = np.searchsorted(self.start, addresses, side="right") - 1
        at = np.maximum(found, 0)
        start, end = self.start[at], self.end[at]
        inside = (found >= 0) & ((addresses < end) | ((addresses == start) & (start == end)))
        return np.where(inside, found, -1)

    def _find_in_tree(self, addresses) -> np.ndarray:
        left, right, root = self._tree
        rows = self.rows
        node = np.full(addresses.shape, root)
        found = np.full(addresses.shape, -1)
        pending = np.arange(addresses.size)
        while len(pending):
            at, ip = node[pending], addresses[pending]
            start, end = rows.start[at], rows.end[at]
            before = ip < start
            after = ~before & ((ip > end) | ((ip == end) & (ip != start)))
            here = ~before & ~after
            found[pending[here]] = self._places[at[here]]
            node[pending] = np.where(before, left[at], right[at])
            pending = pending[~here]
            pending = pending[node[pending] >= 0]
        return found

    def symbol(self, index: int) -> Symbol:
        """The symbol with an index that `find` gave."""
        symbol = self._symbols.get(index)
        if symbol is None:
            rows, row = self.rows, int(self.order[index])
            symbol = self._symbols[index] = Symbol(
                self.name(row),
                int(rows.start[row]),
                int(rows.end[row]),
                BINDINGS.get(int(rows.binding[row]), str(int(rows.binding[row]))),
                int(rows.type[row]),
                rows.names[row].decode("utf-8", "surrogateescape"),
                int(index),
            )
        return symbol


def _grow(steps, starts) -> tuple[np.ndarray, np.ndarray, int]:
    """The red-black tree that insertions and removals of rows come to: left, right, root.

    Cormen et al., Introduction to Algorithms, chapter 13; Linux's lib/rbtree.c makes the same
    trees. NIL is node number `nil`, and black.
    """
    key = [int(start) for start in starts]
    nil = len(key)
    left, right, up = [nil] * (nil + 1), [nil] * (nil + 1), [nil] * (nil + 1)
    red = [False] * (nil + 1)
    root = nil

    def replace(node, other):
        nonlocal root
        parent = up[node]
        if parent == nil:
            root = other
        elif left[parent] == node:
            left[parent] = other
        else:
            right[parent] = other
        up[other] = parent

    def rotate(node, down, other):
        """Turn `node` down to the side `down`; `other` is the other side."""
        child = other[node]
        other[node] = down[child]
        if down[child] != nil:
            up[down[child]] = node
        replace(node, child)
        down[child] = node
        up[node] = child

    def insert(node):
        nonlocal root
        value, parent, at = key[node], nil, root
        while at != nil:
            parent = at
            at = left[at] if value < key[at] else right[at]
        up[node] = parent
        left[node] = right[node] = nil
        red[node] = True
        if parent == nil:
            root = node
        elif value < key[parent]:
            left[parent] = node
        else:
            right[parent] = node
        while red[up[node]]:
            parent = up[node]
            grand = up[parent]
            here, there = (left, right) if left[grand] == parent else (right, left)
            uncle = there[grand]
            if red[uncle]:
                red[parent] = red[uncle] = False
                red[grand] = True
                node = grand
                continue
            if there[parent] == node:
                node = parent
                rotate(node, here, there)
                parent = up[node]
            red[parent] = False
            red[grand] = True
            rotate(grand, there, here)
        red[root] = False

    def erase(node):
        black = not red[node]
        if left[node] == nil:
            child = right[node]
            replace(node, child)
        elif right[node] == nil:
            child = left[node]
            replace(node, child)
        else:
            following = right[node]
            while left[following] != nil:
                following = left[following]
            black = not red[following]
            child = right[following]
            if up[following] == node:
                up[child] = following
            else:
                replace(following, child)
                right[following] = right[node]
                up[right[following]] = following
            replace(node, following)
            left[following] = left[node]
            up[left[following]] = following
            red[following] = red[node]
        if not black:
            return
        node = child
        while node != root and not red[node]:
            parent = up[node]
            here, there = (left, right) if left[parent] == node else (right, left)
            sibling = there[parent]
            if red[sibling]:
                red[sibling] = False
                red[parent] = True
                rotate(parent, here, there)
                sibling = there[parent]
            if not red[left[sibling]] and not red[right[sibling]]:
                red[sibling] = True
                node = parent
                continue
            if not red[there[sibling]]:
                red[here[sibling]] = False
                red[sibling] = True
                rotate(sibling, there, here)
                sibling = there[parent]
            red[sibling] = red[parent]
            red[parent] = False
            red[there[sibling]] = False
            rotate(parent, here, there)
            node = root
        red[node] = False

    for what, rows in steps:
        for row in rows:
            (insert if what == "insert" else erase)(row)
    left, right = np.array(left), np.array(right)
    left[left == nil] = -1
    right[right == nil] = -1
    return left, right, root if root != nil else -1
