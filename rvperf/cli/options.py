"""Command-line options by perf's rules, which are git's parse-options and not getopt's or click's.

Parsing stops at the first word that is no option, or after `--`. A switch's value may be attached
(`-x,`, `--event=cs`) or the next word, whatever that word looks like; switches cluster (`-nx,`). A
long option may be abbreviated as long as that is unambiguous, and `--no-` turns an option off.
Mistakes print the usage and exit with 129.
"""

from collections.abc import Callable

from isa.record import Record

USAGE_STATUS = 129
"""Exit status for a command line that perf can't understand."""
INVALID_STATUS = 234
"""Exit status for one that it understands and can't do: -EINVAL as a byte."""
COLUMN = 24


class Option(Record):
    """A row of a command's option table.

    `kind` is flag (on or off), count (how often), text, number, unsigned (a number that isn't
    negative), several (a tuple of values),
    optional (text that may be left out, and is "" then; it has to be attached) or missing (perf
    has it, we don't yet). `convert` is applied to a value when it is met.
    """

    short: str
    long: str
    help: str
    kind: str = "flag"
    value: str = ""
    """What the usage calls its argument; empty if it takes none."""
    default: object = None
    convert: Callable[[str], object] | None = None
    otherwise: str | None = None
    """For an option whose value may be missing: the value then. --no- makes such an option None."""

    @property
    def key(self) -> str:
        return self.long.removeprefix("no-").replace("-", "_")

    @property
    def positive(self) -> bool:
        return not self.long.startswith("no-")


class Usage(Exception):
    """A command line that can't be followed.

    `message` comes first; then the usage with the options named in `about` (all if it is None), or
    one for each of several tuples of them.
    """

    def __init__(self, message: str, about: tuple | None = (), status=USAGE_STATUS):
        super().__init__(message)
        self.message, self.about, self.status = message, about, status


def parse(
    options: tuple[Option, ...], words: list[str], anywhere: bool = False
) -> tuple[dict[str, object], list[str]]:
    """Values by option (`big-num` is `big_num`), and the words that are left.

    With `anywhere`, options may also follow words that are none.

    Raises Usage.
    """
    values = {option.key: option.default for option in options if option.kind != "missing"}
    rest, others = list(words), []
    while rest:
        if not rest[0].startswith("-") or rest[0] == "-":
            if not anywhere:
                break
            others.append(rest.pop(0))
            continue
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            long_option(options, word[2:], rest, values)
        else:
            switches(options, word[1:], rest, values)
    return values, others + rest


def switches(options, letters, rest, values) -> None:
    """A word of one-letter options; the first that takes a value takes the remaining letters."""
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter == "h":
            raise Usage("\n", None)
        option = next((option for option in options if option.short == letter), None)
        if option is None:
            raise Usage(f"  Error: unknown switch `{letter}'\n\n", None)
        named = f"switch `{letter}'"
        if option.kind == "optional":
            set_value(option, named, letters, values)
            letters = ""
        elif option.value and option.kind != "missing":
            if option.otherwise is not None and not letters and lacks_value(rest):
                letters = option.otherwise
            if not letters and not rest:
                raise Usage(f" Error: {named} requires a value\n", (option.long,))
            value = letters or rest.pop(0)
            letters = ""
            set_value(option, named, value, values)
        else:
            set_value(option, named, None, values, option.positive)


def long_option(options, word, rest, values) -> None:
    name, equals, attached = word.partition("=")
    if name in ("help", "help-all"):
        raise Usage("\n", None)
    option, on = find(options, name)
    named = f"option `{option.long}'"
    if option.kind == "missing":
        set_value(option, named, None, values)
    elif equals and not option.value:
        raise Usage(f" Error: {named} takes no value\n")
    elif not option.value:
        set_value(option, named, None, values, on)
    elif not on:
        values[option.key] = None if option.otherwise is not None else option.default
    elif option.kind == "optional":
        set_value(option, named, attached, values)
    elif not equals and option.otherwise is not None and lacks_value(rest):
        set_value(option, named, option.otherwise, values)
    elif not equals and not rest:
        raise Usage(f" Error: {named} requires a value\n", (option.long,))
    else:
        set_value(option, named, attached if equals else rest.pop(0), values)


def lacks_value(rest: list[str]) -> bool:
    """Whether the next word can't be the value of an option that does without one."""
    return not rest or rest[0].startswith("-")


def find(options, name) -> tuple[Option, bool]:
    """The option of this name or abbreviation, and whether the name turns it on."""
    spellings = [(option.long, option, option.positive) for option in options]
    for option in options:
        bare = option.long.removeprefix("no-")
        opposite = f"no-{bare}" if option.positive else bare
        spellings.append((opposite, option, not option.positive))
    for spelling, option, on in spellings:
        if spelling == name:
            return option, on
    found = {}
    for spelling, option, on in spellings:
        if spelling.startswith(name):
            found.setdefault((option.long, on), (spelling, option, on))
    if not found:
        raise Usage(f"  Error: unknown option `{name}'\n\n", None)
    if len(found) > 1:
        first, second = [spelling for spelling, _, _ in found.values()][:2]
        about = tuple(option.long for option in options if option.long.startswith(name))
        raise Usage(
            f" Error: Ambiguous option: {name} (could be --{first} or --{second})\n\n", about
        )
    _, option, on = next(iter(found.values()))
    return option, on


def set_value(option, named, value, values, on=True) -> None:
    key = option.key
    if option.kind == "missing":
        raise Usage(f" Error: rvperf doesn't have perf's {named} yet\n\n")
    if option.kind == "flag":
        values[key] = on
    elif option.kind == "count":
        values[key] = (values[key] or 0) + 1 if on else 0
    elif option.kind in ("number", "unsigned"):
        if option.kind == "unsigned" and value.startswith("-"):
            message = f" Error: {named} expects an unsigned numerical value\n"
            raise Usage(message, (option.long,))
        try:
            values[key] = int(value)
        except ValueError:
            message = f" Error: {named} expects a numerical value\n"
            raise Usage(message, (option.long,)) from None
    else:
        value = option.convert(value) if option.convert else value
        values[key] = (*values[key], value) if option.kind == "several" else value


def usage(synopsis: str, options: tuple[Option, ...], about: tuple | None = None) -> str:
    """perf's usage page: the synopsis, and all options or those named in `about`, as in `Usage`."""
    if about and isinstance(about[0], tuple):
        return "\n".join(usage(synopsis, options, one) for one in about)
    page = f" Usage: {synopsis}\n\n"
    if about is None:
        shown = [option for option in options if option.kind != "missing"]
        by_letter = sorted((o for o in shown if o.short), key=lambda o: (o.short.lower(), o.short))
        shown = by_letter + sorted((o for o in shown if not o.short), key=lambda o: o.long)
        return page + "".join(map(option_line, shown)) + "\n"
    shown = [option for option in options if option.long in about and option.kind != "missing"]
    return page + "".join(map(option_line, shown))


def option_line(option: Option) -> str:
    line = f"    -{option.short}, --{option.long}" if option.short else f"        --{option.long}"
    if option.kind == "optional":
        line += f"[=<{option.value}>]"
    elif option.value:
        line += f" <{option.value}>"
    if len(line) <= COLUMN:
        return f"{line:<{COLUMN + 2}}{option.help}\n"
    return f"{line}\n{'':<{COLUMN + 2}}{option.help}\n"
