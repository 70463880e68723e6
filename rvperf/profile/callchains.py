"""Callchains of an entry as a tree (tools/perf/util/callchain.c).

perf keeps a radix tree for each entry and splits its nodes where chains part. Here an entry only
keeps which chains run through it (`Runs`), and from where on. They become a tree when it is read.
"""

from collections.abc import Callable
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
    """Frames that follow each other without a fork. `hit` is what ends there, `cumulated` what
    passes through them as well."""

    __slots__ = ("places", "hit", "count", "cumulated", "cumulated_count", "children", "parent")

    def __init__(self, places, parent, cumulated, cumulated_count):
        self.places, self.parent = places, parent
        self.cumulated, self.cumulated_count = cumulated, cumulated_count
        self.hit = self.count = 0
        self.children: list[Node] = []

    @property
    def children_hit(self) -> int:
        return self.cumulated - self.hit

    @property
    def children_count(self) -> int:
        return self.cumulated_count - self.count


def nodes(runs: Runs, least: Callable[[int], int], by_weight: bool = True) -> Node:
    """The root of a tree of nodes. Siblings are in the order of their weights, if asked for; of
    those that weigh the same perf has the ones with higher addresses first.

    Nodes that weigh less than `least` of what the callers of their parent weigh are left out, with
    all that is below them.
    """
    runs = list(runs)
    root = Node([], None, *weight_of(runs))
    waiting = [(root, runs, 0)]
    while waiting:
        node, runs, done = waiting.pop()
        while True:
            parts: dict[int, list] = {}
            for run in runs:
                places, at, period, count = run
                if at + done == len(places):
                    node.hit += period
                    node.count += count
                else:
                    parts.setdefault(places[at + done].index, []).append(run)
            if len(parts) != 1 or node.count or node is root:
                break
            (runs,) = parts.values()
            places, at, *_ = runs[0]
            node.places.append(places[at + done])
            done += 1
        limit = least(node.children_hit)
        for part in parts.values():
            weight = weight_of(part)
            if weight[0] < limit:
                continue
            places, at, *_ = part[0]
            if len(part) == 1:
                child = Node(places[at + done :], node, *weight)
                child.hit, child.count = weight
            else:
                child = Node([places[at + done]], node, *weight)
                waiting.append((child, part, done + 1))
            node.children.append(child)
        if len(node.children) > 1:
            node.children.sort(key=lambda child: child.places[0].order, reverse=True)
            if by_weight:
                node.children.sort(key=lambda child: -child.cumulated)
    return root


def weight_of(runs: list) -> tuple[int, int]:
    """What runs count for: (period, count)."""
    if len(runs) == 1:
        return runs[0][2:]
    return sum([run[2] for run in runs]), sum([run[3] for run in runs])


def absolute(least: int) -> Callable[[int], int]:
    return lambda weight: least


def relative(share: float) -> Callable[[int], int]:
    return lambda weight: ceil(weight * share)


def flat(root: Node, least: int) -> list[Node]:
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
