"""One event as it is to be counted: a row of the table with its modifiers, terms and group."""

from isa.record import Record, replace

MODIFIERS = "ukhGHpPSDIWeb"


class ModifierError(ValueError):
    """A letter twice, or more precision than there is (`ppp`)."""


class Event(Record):
    """What -e asked for. Names of the exclude_* and other flags are perf_event_attr's."""

    name: str
    """As perf shows it: as typed, or what a `name=` term says."""
    symbol: str
    """perf's own name without modifiers."""
    kind: str
    """hw, sw, tool, cache, tracepoint, and raw, pmu, breakpoint, which nothing counts yet."""
    type: int
    config: int
    source: str | None
    """The key that a session counts by; None if nothing counts this event (yet)."""
    unit: str = ""
    scale: float = 1.0
    terms: tuple[tuple[str, str | int], ...] = ()
    """`period=1000` and the like, as given between slashes; `name` is not among them."""
    exclude_user: bool = False
    exclude_kernel: bool = False
    exclude_hv: bool = False
    exclude_host: bool = False
    exclude_guest: bool = False
    exclude_idle: bool = False
    precise: int = 0
    precise_max: bool = False
    sample_read: bool = False
    pinned: bool = False
    exclusive: bool = False
    weak: bool = False
    bpf: bool = False
    group: int | None = None
    """Events of one {group} share a number; the first of them leads."""

    @property
    def countable(self) -> bool:
        return self.source is not None

    @property
    def context(self) -> str:
        """The modes that are excluded, as letters of `ukhIH`; events of equal context compare."""
        excluded = {
            "u": self.exclude_user,
            "k": self.exclude_kernel,
            "h": self.exclude_hv,
            "I": self.exclude_idle,
            "H": self.exclude_host,
        }
        return "".join(letter for letter, is_excluded in excluded.items() if is_excluded)

    def modified(self, letters: str) -> "Event":
        """This event with modifiers applied on top of those that it has.

        The first of u, k, h excludes every mode and then admits its own; so does the first of G
        and H with host and guest. User mode and precision leave guests out unless G or H is there.
        """
        check_modifiers(letters)
        flags = {}

        def flag(name):
            return flags.get(name, getattr(self, name))

        filtered = self.exclude_user or self.exclude_kernel or self.exclude_hv
        placed = False
        for letter in letters:
            if letter in PRIVILEGE:
                if not filtered:
                    filtered = True
                    flags |= dict.fromkeys(PRIVILEGE.values(), True)
                flags[PRIVILEGE[letter]] = False
            if letter in PLACE:
                if not placed:
                    placed = True
                    flags |= dict.fromkeys(PLACE.values(), True)
                flags[PLACE[letter]] = False
            if letter in "up" and not placed:
                flags["exclude_guest"] = True
            if letter == "p":
                flags["precise"] = flag("precise") + 1
            if letter in SWITCHES:
                flags[SWITCHES[letter]] = True
        if flag("precise") > 3:
            raise ModifierError(letters)
        return replace(self, **flags)

    def only(self, *, user: bool) -> "Event":
        """This event in user mode alone or in kernel mode alone: --all-user, --all-kernel."""
        return replace(self, exclude_user=not user, exclude_kernel=user)


PRIVILEGE = {"u": "exclude_user", "k": "exclude_kernel", "h": "exclude_hv"}
PLACE = {"G": "exclude_guest", "H": "exclude_host"}
SWITCHES = {
    "I": "exclude_idle",
    "P": "precise_max",
    "S": "sample_read",
    "D": "pinned",
    "e": "exclusive",
    "W": "weak",
    "b": "bpf",
}


def check_modifiers(letters: str) -> None:
    """Every letter at most once, but for p.

    Raises ModifierError.
    """
    for letter in letters:
        if letter not in MODIFIERS or (letter != "p" and letters.count(letter) > 1):
            raise ModifierError(letters)


def format_modifiers(event: Event) -> str:
    """The shortest letters that set this event's flags."""
    letters = ""
    if any(getattr(event, flag) for flag in PRIVILEGE.values()):
        letters = "".join(k for k, flag in PRIVILEGE.items() if not getattr(event, flag))
    letters += "p" * event.precise
    guests_left_out = "u" in letters or "p" in letters
    if event.exclude_host:
        letters += "G"
    elif event.exclude_guest and not guests_left_out:
        letters += "H"
    elif guests_left_out and not event.exclude_guest:
        letters += "GH"
    return letters + "".join(k for k, flag in SWITCHES.items() if getattr(event, flag))


def format_event(event: Event) -> str:
    """Text for -e that means this event, under perf's own name for it; its group is left out."""
    modifiers = format_modifiers(event)
    if event.terms or event.kind == "pmu":
        terms = ",".join(name if value == 1 else f"{name}={value}" for name, value in event.terms)
        return f"{event.symbol}/{terms}/{modifiers}"
    return f"{event.symbol}:{modifiers}" if modifiers else event.symbol
