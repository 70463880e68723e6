"""What a sample's data_src says of a memory access, in perf's words (util/mem-events.c).

The bits are those of union perf_mem_data_src in uapi/linux/perf_event.h.
"""

OPERATIONS = ((1, "N/A"), (2, "LOAD"), (4, "STORE"), (8, "PFETCH"), (16, "EXEC"))
LEVELS = (
    "N/A", "HIT", "MISS", "L1", "LFB/MAB", "L2", "L3", "Local RAM", "Remote RAM (1 hop)",
    "Remote RAM (2 hops)", "Remote Cache (1 hop)", "Remote Cache (2 hops)", "I/O", "Uncached",
)  # fmt: skip
LEVEL_NUMBERS = {
    9: "CXL", 10: "I/O", 11: "Any cache", 12: "LFB/MAB", 13: "RAM", 14: "PMEM", 15: "N/A"
}  # fmt: skip
HOPS = ("N/A", "core, same node", "node, same socket", "socket, same board", "board")
SNOOPS = ("N/A", "None", "Hit", "Miss", "HitM")
MORE_SNOOPS = ("Fwd", "Peer")
TLBS = ("N/A", "HIT", "MISS", "L1", "L2", "Walker", "Fault")
HIT, MISS = 2, 4
LONGEST = 99


def bits(word: int, at: int, width: int) -> int:
    return word >> at & (1 << width) - 1


def named(bits: int, names) -> list[str]:
    return [name for number, name in enumerate(names) if bits >> number & 1]


def hit_or_miss(value: int) -> str:
    return (" hit" if value & HIT else "") + (" miss" if value & MISS else "")


def operation(src: int) -> str:
    op = bits(src, 0, 5)
    return next((word for bit, word in OPERATIONS if op & bit), "No")


def level(src: int) -> str:
    value = bits(src, 5, 14)
    number, remote, hops = bits(src, 33, 4), bits(src, 37, 1), bits(src, 43, 3)
    shown = "Remote " if remote else ""
    if hops:
        shown += f"{HOPS[hops] if hops < len(HOPS) else '(null)'} "
        levels = []
    else:
        levels = named(value & ~(HIT | MISS), LEVELS)
    if number:
        levels.append(LEVEL_NUMBERS.get(number, f"L{number}"))
    shown += " or ".join(levels)
    return (shown or "N/A") + hit_or_miss(value)


def snoop(src: int) -> str:
    found = named(bits(src, 19, 5), SNOOPS)
    shown = " or ".join(found)
    for name in named(bits(src, 38, 2), MORE_SNOOPS):
        shown += f" or {name}" if found else name
        found = found or [name]
    return shown or "N/A"


def tlb(src: int) -> str:
    value = bits(src, 26, 7)
    return (" or ".join(named(value & ~(HIT | MISS), TLBS)) or "N/A") + hit_or_miss(value)


def lock(src: int) -> str:
    value = bits(src, 24, 2)
    return "N/A" if value & 1 else "Yes" if value & 2 else "No"


def blocked(src: int) -> str:
    value = bits(src, 40, 3)
    if not value or value & 1:
        return " N/A"
    return (" Data" if value & 2 else "") + (" Addr" if value & 4 else "")


def data_src(src: int) -> str:
    """perf script's field data_src."""
    shown = f"|OP {operation(src)}|LVL {level(src)}|SNP {snoop(src)}|TLB {tlb(src)}"
    shown += f"|LCK {lock(src)}|BLK {blocked(src)}"
    return f"{src:16x} {shown[:LONGEST]}"[:LONGEST]
