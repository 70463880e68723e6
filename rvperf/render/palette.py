"""The colours of the pictures, by what kind of code a frame is.

Hues are chosen so that they differ for people who see no difference between red and green as well:
orange, blue and bluish green of Okabe and Ito's set (https://jfly.uni-koeln.de/color/), each with
eight tones, of which a name always gets the same one. Text on them is nearly black, so all are
light.
"""

import zlib

TONES = 8
LOOKS = {
    "user": (24, 46, 90, 92, 64, 72),
    "kernel": (203, 216, 72, 88, 68, 78),
    "inlined": (158, 172, 38, 50, 62, 72),
    "unknown": (40, 44, 22, 28, 76, 82),
    "guest-user": (318, 334, 52, 64, 76, 84),
    "guest-kernel": (256, 272, 56, 72, 78, 84),
    "comm": (212, 218, 12, 16, 78, 82),
    "dso": (212, 218, 14, 18, 84, 88),
}
"""Ranges of hue (degrees), saturation and lightness (percent)."""


def tone(look: str, name: str) -> str:
    """The CSS class of a name's colour."""
    return f"{look}-{zlib.crc32(name.encode()) % TONES}"


def swatch(look: str) -> str:
    """The class that stands for a look in a legend."""
    return f"{look}-3"


def rules() -> str:
    """A class for each tone."""
    out = []
    for look, (hue, hue_end, full, full_end, light, light_end) in LOOKS.items():
        for n in range(TONES):
            # Tones beside each other differ in more than hue.
            part, mixed = n / (TONES - 1), n * 3 % TONES / (TONES - 1)
            colour = (
                f"{hue + (hue_end - hue) * part:.0f} {full + (full_end - full) * part:.0f}% "
                f"{light + (light_end - light) * mixed:.0f}%"
            )
            out.append(f".{look}-{n}{{--tone:hsl({colour})}}")
    return "\n".join(out)


STYLE = f"""
:root {{ color-scheme: light dark; --ground: #fbfaf8; --raised: #fff; --ink: #1d1f24;
  --soft: #5a616c; --line: #cfd3d9; --dim: #e3e3e1; --accent: #1f6feb; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ground: #16181d; --raised: #20242b; --ink: #e9ebee; --soft: #a3abb8; --line: #3b424d;
    --dim: #343840; --accent: #79b0ff; }}
}}
{rules()}
"""
"""Colours for a whole document; frames are filled with var(--tone)."""
