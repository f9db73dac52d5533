"""`hps report`: the page that people look at, and its pictures as files."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hps import __version__
from hps.cli import options
from hps.cli.output import answer, require_report, write_stderr
from hps.errors import HpsError, MachineError
from hps.process import temporary

if TYPE_CHECKING:
    from hps.compare.comparison import Findings
    from hps.fleet.status import Bring, FleetStatus
    from hps.model import Spec
    from hps.process.stop import SignalStop
    from hps.report.pictures.chart import Format
    from hps.tools.client import Listed


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
@options.watching(
    "1m",
    "Fetch what nodes store and write the page anew, with the fleet's status, until it is over.",
)
@click.option(
    "--picture-format", type=click.Choice(["png", "svg"]), default="png", show_default=True
)
@click.pass_context
def report(
    context: click.Context,
    /,
    *,
    output: Path,
    pictures: Path | None,
    picture_format: Format,
    watch: bool,
    every_s: float,
    **asked: Any,
) -> None:
    """Make a page with the answer, how sure it is, pictures and tables.

    EXPERIMENT is the name of an experiment, FILE a file or folder of results; without either
    everything is reported that hps run and hps results pull have stored here.

    \b
    hps report chunk-sweep -o chunk-sweep.html
    hps report chunk-sweep --where country=US --pictures figures --picture-format svg

    With --watch FILE is an experiment with `fleet:`, or the name of the one in EXPERIMENT. What its
    nodes store is fetched as by hps results pull; the page has the fleet's status at its top and
    loads itself again until the fleet is over. Pictures are written at the end.

    Prints the paths of what it wrote. Exit codes: 0 done, 1 not written, 2 usage, 5 nothing was
    found, 130 and 143 stopped.
    """
    places = _Places(output=output, pictures=pictures, picture_format=picture_format)
    _check_places(output, pictures)
    require_report()
    if watch:
        context.exit(_watch(places, every_s, asked))
    _write_all(places, options.compare_stored(**asked))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """What is written, and where."""

    output: Path
    pictures: Path | None
    picture_format: Format


def _write_all(places: _Places, findings: Findings, fleet: Sequence[tuple[str, str]] = ()) -> None:
    """Write the page and the pictures, and print their paths."""
    written = [_write(places.output, _page(findings, fleet).encode())]
    if places.pictures is not None:
        for name, content in _pictures(findings, places.picture_format):
            written.append(_write(places.pictures / name, content))
    answer("".join(f"{path}\n" for path in written))


def _check_places(output: Path, pictures: Path | None) -> None:
    for folder in (output.parent, *([pictures] if pictures is not None else [])):
        if not folder.is_dir():
            hint = f"make it first: mkdir {folder}"
            raise HpsError(f"there is no folder {folder} to write to", hint)
    temporary.check_file(output, "name another file with -o")
    if pictures is not None:
        temporary.check_writable(pictures, "name another folder with --pictures")


def _page(
    findings: Findings, fleet: Sequence[tuple[str, str]] = (), refresh_s: int | None = None
) -> str:
    from hps.report import page

    made_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return page.render(
        findings, version=__version__, made_at=made_at, fleet=fleet, refresh_s=refresh_s
    )


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


# -------------------------------------------------------------------------------------------------
# The page of a fleet that is at work.


def _watch(places: _Places, every_s: float, asked: Mapping[str, Any]) -> int:
    """Write the page again and again until the fleet is over. Returns the exit code."""
    from hps.cli.watch import repeat
    from hps.fleet.status import READ_EVERY_S, open_fleet
    from hps.process.stop import on_signals

    env = dict(os.environ)
    spec = _experiment(asked["what"], env)
    options.check_question(**asked)
    every_s = max(every_s, READ_EVERY_S)
    with on_signals() as stop:
        bring = _pulling(spec, env, stop)
        with open_fleet(spec, env, stop, details=True, bring=bring) as observer:
            page = _WatchedPage(
                places=places, every_s=every_s, asked={**asked, "what": [spec.name]}
            )
            code = repeat(lambda: page.write(observer.look()), every_s, stop)
        page.end()
    return code


def _experiment(what: Sequence[str], env: Mapping[str, str]) -> Spec:
    """The experiment of a file, or the one in EXPERIMENT, by its name. Raises `HpsError`."""
    from hps.cli import validate
    from hps.cli.results import is_file

    if len(what) > 1:
        raise HpsError("--watch is for one experiment", "name one FILE")
    is_named = bool(what) and not is_file(what[0])
    file = env.get("EXPERIMENT") if is_named or not what else what[0]
    if is_named and not file:
        hint = f"name its file: hps report {what[0]}.yaml --watch"
        raise HpsError(f"where is the experiment '{what[0]}'?", hint)
    spec = validate.load(file, (), env, "report --watch")
    if is_named and spec.name != what[0]:
        hint = f"name the file of '{what[0]}'"
        raise HpsError(f"EXPERIMENT is '{spec.name}', and not '{what[0]}'", hint)
    return spec


def _pulling(spec: Spec, env: Mapping[str, str], stop: SignalStop) -> Bring:
    """Brings all that is new of an experiment to where reports look for results."""
    from hps.results.files import cache_folder
    from hps.results.pull import pull
    from hps.targets.copy import place_of

    place, cache = place_of(spec, None, env), cache_folder(env)
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "name a folder that can be written to in HPS_CACHE"
        raise HpsError(f"cannot write to {cache}: {error.strerror}", hint) from error

    def bring(_: Sequence[Listed]) -> Path:
        pull(place, cache, [spec.name], lambda _: None, stop)
        return cache / spec.name

    return bring


@dataclass(slots=True, kw_only=True)
class _WatchedPage:
    """A page that loads itself again while the fleet of an experiment is at work."""

    places: _Places
    every_s: float
    asked: Mapping[str, Any]
    _last: tuple[Findings, Sequence[tuple[str, str]]] | None = None

    def write(self, status: FleetStatus) -> bool:
        """Write the page with what is stored by now. Returns whether the fleet is over."""
        from hps.fleet import text

        findings, facts = self._find(), text.rows(status)
        self._last = findings, facts
        if not status.why_over:
            _write(self.places.output, _page(findings, facts, round(self.every_s)).encode())
        write_stderr(text.as_line(status))
        return bool(status.why_over)

    def end(self) -> None:
        """Write the last page, which stays as it is, and the pictures."""
        if self._last is not None:
            _write_all(self.places, *self._last)

    def _find(self) -> Findings:
        """The answer so far, in which there may be nothing yet."""
        from hps.compare.comparing import NoDataError

        try:
            return options.compare_stored(**self.asked)
        except NoDataError:
            return _nothing_yet(self.asked)


def _nothing_yet(asked: Mapping[str, Any]) -> Findings:
    from hps.compare.comparison import Findings, Provenance, Rule

    known = Provenance(
        experiments=tuple(asked["what"]),
        specs=(),
        sources=(),
        hps_versions=(),
        tools=(),
        runs=0,
        nodes=0,
        results=0,
        first_at="",
        last_at="",
    )
    return Findings(
        by=tuple(asked["by"].split(",")),
        rule=Rule(),
        comparisons=(),
        nodes=(),
        rejected=(),
        hours=(),
        tenths=(),
        provenance=known,
        notes=("Nothing that can be compared is stored yet.",),
    )
