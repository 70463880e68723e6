"""The files that `kvm run` writes itself: the report, pictures of it, and traces."""

from rvperf.cli.streams import tell


def report(result, options) -> str:
    """What `kvm run` prints, or writes with --output."""
    from rvperf.render import joint

    return joint.json_text(result.report) if options["json"] else joint.text(result.report)


def page(result, options) -> str:
    from rvperf.render import joint_page

    return joint_page.page(result.report)


def trace(result, options) -> bytes:
    from rvperf.render import joint_trace

    return joint_trace.trace(result.report)


FILES = {"output": report, "html": page, "trace": trace}
"""What makes the content of each file, by the option that names it."""


def can_be_written(options) -> bool:
    """Whether all that are asked for can; tells if not, before anything runs."""
    for name in FILES:
        if options[name] is not None:
            try:
                with open(options[name], "ab"):
                    pass
            except (OSError, ValueError) as error:
                tell_of(options[name], error)
                return False
    if options["ctf"] is not None:
        from rvperf.render import joint_ctf

        if why := joint_ctf.refused(options["ctf"]):
            tell(f"failed to create output directory {options['ctf']}: {why}\n")
            return False
    return True


def write(options, result) -> None:
    """Write all that are asked for; tells of what can't be."""
    for name, content_of in FILES.items():
        if options[name] is None:
            continue
        content = content_of(result, options)
        try:
            with open(options[name], "wb") as file:
                file.write(content if isinstance(content, bytes) else encoded(content))
        except OSError as error:
            tell_of(options[name], error)
    if options["ctf"] is not None:
        from rvperf.render import joint_ctf

        try:
            joint_ctf.write(options["ctf"], result.report, result.hart_events)
        except OSError as error:
            tell_of(options["ctf"], error)


def encoded(text: str) -> bytes:
    """Names of files that are no UTF-8 don't stop it."""
    return text.encode("utf-8", "replace")


def tell_of(path: str, error: Exception) -> None:
    why = getattr(error, "strerror", None) or error
    tell(f"failed to create output file {path}: {why}\n")
