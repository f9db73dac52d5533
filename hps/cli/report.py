"""`hps report`: the page that people look at, and its pictures as files."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hps import __version__
from hps.cli import options
from hps.cli.output import answer, require_report
from hps.errors import HpsError, MachineError
from hps.process import temporary

if TYPE_CHECKING:
    from hps.compare.comparison import Findings
    from hps.report.pictures.chart import Format


@click.command()
@options.question(strata="rtt")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The page: one HTML file that needs no network.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write every picture as a file in this folder.",
)
@click.option(
    "--picture-format", type=click.Choice(["png", "svg"]), default="png", show_default=True
)
def report(
    *,
    output: Path,
    pictures: Path | None,
    picture_format: Format,
    **asked: Any,
) -> None:
    """Make a page with the answer, how sure it is, pictures and tables.

    EXPERIMENT is the name of an experiment, FILE a file or folder of results; without either
    everything is reported that hps run and hps results pull have stored here.

    \b
    hps report chunk-sweep -o chunk-sweep.html
    hps report chunk-sweep --where country=US --pictures figures --picture-format svg

    Prints the paths of what it wrote. Exit codes: 0 done, 1 not written, 2 usage, 5 nothing was
    found.
    """
    _check_places(output, pictures)
    require_report()
    findings = options.compare_stored(**asked)
    written = [_write(output, _page(findings).encode())]
    if pictures is not None:
        for name, content in _pictures(findings, picture_format):
            written.append(_write(pictures / name, content))
    answer("".join(f"{path}\n" for path in written))


def _check_places(output: Path, pictures: Path | None) -> None:
    for folder in (output.parent, *([pictures] if pictures is not None else [])):
        if not folder.is_dir():
            hint = f"make it first: mkdir {folder}"
            raise HpsError(f"there is no folder {folder} to write to", hint)
    temporary.check_file(output, "name another file with -o")
    if pictures is not None:
        temporary.check_writable(pictures, "name another folder with --pictures")


def _page(findings: Findings) -> str:
    from hps.report import page

    made_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return page.render(findings, version=__version__, made_at=made_at)


def _pictures(findings: Findings, style: Format) -> Iterator[tuple[str, bytes]]:
    from hps.report.pictures import chart, gallery
    from hps.report.pictures.picture import FILES

    for picture in gallery.pictures(gallery.draw(findings, FILES)):
        spec = chart.spec(picture, FILES, titled=True)
        yield f"{picture.name}.{style}", chart.render(spec, style)


def _write(path: Path, content: bytes) -> Path:
    """Write the whole file, or leave what was there. Raises `MachineError`."""
    unfinished = path.with_name(f".hps-{secrets.token_hex(8)}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the folder itself may be at fault
            unfinished.unlink(missing_ok=True)
        what = f"{path} could not be written: {error.strerror}"
        raise MachineError(what, "name another place with -o or --pictures") from error
    return path
