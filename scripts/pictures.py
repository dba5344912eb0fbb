"""`make pictures`: run the demo in a terminal of its own and take the README's pictures of it and of its report."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyte
from rich.console import Console
from rich.text import Text

IMAGES = Path("docs/images")
REPORT = Path("demo-results/report.html")
COLUMNS, LINES = 96, 34
# of the browser's own time, which does not pass while it computes
_DRAWN_MS = 20_000
# pyte's names of colours that rich knows under another name
_COLOURS = {"brown": "yellow", "default": "default"}


def main() -> int:
    """Take both pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    screen = _demo_in_terminal()
    (IMAGES / "demo.svg").write_text(_as_svg(screen), encoding="utf-8")
    _screenshot(REPORT.resolve().as_uri(), IMAGES / "report.png")
    return 0


def _demo_in_terminal() -> pyte.Screen:
    """Run `make demo` with a terminal that remembers what it shows at the end."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(COLUMNS=str(COLUMNS), LINES=str(LINES), TERM="xterm-256color")
        os.execv(sys.executable, [sys.executable, "scripts/demo.py"])
    # the path of the checkout is private, and would not fit
    here = re.compile(re.escape(Path.cwd().as_uri().encode()))
    while True:
        select.select([terminal], [], [])
        try:
            shown = os.read(terminal, 1 << 16)
        except OSError:  # the demo has closed its side
            break
        stream.feed(here.sub(b"file://.", shown))
    _, status = os.waitpid(process, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit("\n".join(screen.display))
    return screen


def _as_svg(screen: pyte.Screen) -> str:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        last = max((number for number, line in enumerate(screen.display) if line.strip()), default=0)
        first = next((number for number, line in enumerate(screen.display) if line.strip()), 0)
        for number in range(first, last + 1):
            line = Text()
            for column in range(COLUMNS):
                cell = screen.buffer[number][column]
                colour = _COLOURS.get(cell.fg, cell.fg)
                if re.fullmatch(r"[0-9a-f]{6}", colour):
                    colour = f"#{colour}"
                line.append(cell.data, style=f"{'bold ' if cell.bold else ''}{colour.replace('bright', 'bright_')}")
            line.rstrip()
            console.print(line, soft_wrap=True)
        return console.export_svg(title="make demo")


def _screenshot(address: str, path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("chromium is not installed: the picture of the report cannot be taken")
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                chromium,
                "--headless=new",
                "--no-sandbox",
                # WebGL2 by the processor alone, for the viewer
                "--use-gl=angle",
                "--use-angle=swiftshader",
                "--enable-unsafe-swiftshader",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                "--window-size=1280,1500",
                f"--virtual-time-budget={_DRAWN_MS}",
                f"--screenshot={path.resolve()}",
                address,
            ],
            check=True,
            capture_output=True,
        )


if __name__ == "__main__":
    sys.exit(main())
