"""Classes that are named values.

They are what the standard library's dataclasses are, for a program that starts in a few dozen
milliseconds: `dataclasses` imports the whole of `inspect`, and compiles the methods of every class.
"""

from __future__ import annotations


class Record:
    """The annotations of a subclass are its fields, in their order, and may have defaults.

    Records of one class are equal if their fields are. They can't be changed, `replace` makes new
    ones, unless the subclass says `mutable=True`.
    """

    __match_args__: tuple[str, ...] = ()
    _names: frozenset[str] = frozenset()
    _defaults: dict[str, object] = {}

    def __init_subclass__(cls, mutable: bool = False):
        cls.__match_args__ = tuple(cls.__annotations__)
        cls._names = frozenset(cls.__match_args__)
        cls._defaults = {name: vars(cls)[name] for name in cls._names & vars(cls).keys()}
        if mutable:
            cls.__setattr__ = object.__setattr__
            cls.__hash__ = None

    def __init__(self, *values, **named):
        cls, fields = type(self), self.__dict__
        fields.update(cls._defaults)
        fields.update(zip(cls.__match_args__, values, strict=False))
        fields.update(named)
        if fields.keys() != cls._names or len(values) > len(cls._names):
            wanted = ", ".join(cls.__match_args__)
            raise TypeError(f"{cls.__name__} has the fields {wanted}; given {values} and {named}")

    def __setattr__(self, name, value):
        raise AttributeError(f"a {type(self).__name__} can't be changed; replace() makes another")

    def __eq__(self, other):
        return type(self) is type(other) and values_of(self) == values_of(other)

    def __hash__(self):
        return hash(values_of(self))

    def __repr__(self):
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({fields})"


def values_of(record: Record) -> tuple:
    """The values of a record's fields, in their order."""
    return tuple([record.__dict__[name] for name in record.__match_args__])


def replace(record: Record, **changes) -> Record:
    """A record like this one, but for some fields."""
    fields = dict(zip(record.__match_args__, values_of(record), strict=True))
    return type(record)(**(fields | changes))
