"""Callchains of an entry as a tree (tools/perf/util/callchain.c).

perf keeps a radix tree and splits its nodes where chains part. Here there is a node for each frame
while chains are added, and those that no chain parts at become one node when the tree is read.
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


class Tree:
    """A frame below another one: what chains end here, and what goes on."""

    __slots__ = ("place", "children", "hit", "count")

    def __init__(self, place=None):
        self.place = place
        self.children: dict[int, Tree] = {}
        self.hit = self.count = 0

    def add(self, places, period: int, count: int) -> None:
        """Add chains that run through these frames."""
        node = self
        for place in places:
            below = node.children.get(place.index)
            if below is None:
                below = node.children[place.index] = Tree(place)
            node = below
        node.hit += period
        node.count += count


class Node:
    """Frames that follow each other without a fork. `cumulated` is what passes through them."""

    __slots__ = ("places", "hit", "count", "cumulated", "cumulated_count", "children", "parent")

    def __init__(self, places, tree, parent):
        self.places, self.parent = places, parent
        self.hit, self.count = tree.hit, tree.count
        self.children: list[Node] = []
        self.cumulated, self.cumulated_count = self.hit, self.count

    @property
    def children_hit(self) -> int:
        return self.cumulated - self.hit

    @property
    def children_count(self) -> int:
        return self.cumulated_count - self.count


def nodes(tree: Tree) -> Node:
    """The root of a tree of nodes, siblings in perf's order of addresses: higher ones first."""
    root = Node([], tree, None)
    waiting = [(root, tree)]
    made = []
    while waiting:
        parent, at = waiting.pop()
        for child in sorted(at.children.values(), key=lambda one: one.place.order, reverse=True):
            places = [child.place]
            while len(child.children) == 1 and not child.count:
                (child,) = child.children.values()
                places.append(child.place)
            node = Node(places, child, parent)
            parent.children.append(node)
            made.append(node)
            waiting.append((node, child))
    for node in reversed(made):
        node.parent.cumulated += node.cumulated
        node.parent.cumulated_count += node.cumulated_count
    return root


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
