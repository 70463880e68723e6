"""Callchains of an entry as a tree (tools/perf/util/callchain.c).

perf keeps a radix tree for each entry and splits its nodes where chains part. Here an entry only
keeps which chains run through it (`Runs`), and from where on. They become a tree when it is read.
"""

from math import ceil


class Place:
    """A frame in a callchain, one object for all that count as the same.

    `order` says where it lies among its siblings of equal weight; `name` is how it is printed.
    """

    __slots__ = ("map", "symbol", "ip", "level", "cpumode", "order", "srcline", "index")

    def __init__(self, index, map, symbol, ip, level, cpumode, order, srcline=""):
        self.index, self.map, self.symbol, self.ip = index, map, symbol, ip
        self.level, self.cpumode, self.order, self.srcline = level, cpumode, order, srcline


class Runs:
    """The chains of an entry: (places, index of the first that counts, period, count) of each."""

    __slots__ = ("flat",)

    def __init__(self):
        self.flat: list = []

    def __iter__(self):
        each = iter(self.flat)
        return zip(each, each, each, each, strict=True)

    def add(self, places, at: int, period: int, count: int) -> None:
        self.flat += (places, at, period, count)


class Node:
    """Frames that follow each other without a fork. `cumulated` is what passes through them."""

    __slots__ = ("places", "hit", "count", "cumulated", "cumulated_count", "children", "parent")

    def __init__(self, places, parent):
        self.places, self.parent = places, parent
        self.hit = self.count = self.cumulated = self.cumulated_count = 0
        self.children: list[Node] = []

    def end(self, period: int, count: int) -> None:
        """Chains end here."""
        self.hit += period
        self.cumulated += period
        self.count += count
        self.cumulated_count += count

    @property
    def children_hit(self) -> int:
        return self.cumulated - self.hit

    @property
    def children_count(self) -> int:
        return self.cumulated_count - self.count


def nodes(runs: Runs) -> Node:
    """The root of a tree of nodes, siblings in perf's order of addresses: higher ones first."""
    root = Node([], None)
    waiting = [(root, runs)]
    made = []
    while waiting:
        parent, some = waiting.pop()
        parts: dict[int, list] = {}
        for run in some:
            places, at, period, count = run
            if at == len(places):
                parent.end(period, count)
            else:
                parts.setdefault(places[at].index, []).append(run)
        several = list(parts.values())
        if len(several) > 1:
            several.sort(key=lambda part: part[0][0][part[0][1]].order, reverse=True)
        for part in several:
            places, at, period, count = part[0]
            if len(part) == 1:
                node = Node(places[at:], parent)
                node.end(period, count)
            else:
                common = shared(part)
                node = Node(places[at : at + common], parent)
                rest = [(places, at + common, *weight) for places, at, *weight in part]
                waiting.append((node, rest))
            parent.children.append(node)
            made.append(node)
    for node in reversed(made):
        node.parent.cumulated += node.cumulated
        node.parent.cumulated_count += node.cumulated_count
    return root


def shared(runs: list) -> int:
    """How many places from the first on runs have in common."""
    most = min(len(places) - at for places, at, *_ in runs)
    first, begin = runs[0][:2]
    for n in range(1, most):
        index = first[begin + n].index
        if any(places[at + n].index != index for places, at, *_ in runs):
            return n
    return most


def sort_absolute(root: Node, least: int) -> list[Node]:
    """Children by weight, without those below `least`, at every level."""

    def chosen(node):
        node.children = [child for child in node.children if child.cumulated >= least]
        node.children.sort(key=lambda child: -child.cumulated)

    each(root, chosen)
    return root.children


def sort_relative(root: Node, share: float) -> list[Node]:
    """Children by weight, without those below this share of what goes through their parent."""

    def chosen(node):
        least = ceil(node.children_hit * share)
        node.children = [child for child in node.children if child.cumulated >= least]
        node.children.sort(key=lambda child: -child.cumulated)

    each(root, chosen)
    return root.children


def sort_flat(root: Node, least: int) -> list[Node]:
    """All nodes that chains end at, by weight, without those below `least`."""
    found = []
    waiting = [(root, False)]
    while waiting:  # children before their parents
        node, done = waiting.pop()
        if done:
            if node.hit and node.hit >= least:
                found.append(node)
            continue
        waiting.append((node, True))
        waiting += [(child, False) for child in reversed(node.children)]
    found.sort(key=lambda node: -node.hit)
    return found


def each(root: Node, action) -> None:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        action(node)
        waiting += node.children
