"""SaladCloud as an engine: container groups that have the nodes of a fleet.

What a call has created is noted before its request is sent, so that an answer that is lost, or a
Ctrl-C, leaves nothing behind that costs money and that nobody knows of.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from hps.errors import HpsError
from hps.fleet.engine import FleetRequest, Instance, Offer, Say, Started
from hps.fleet.salad import client, group
from hps.fleet.salad.client import KEY_ENV, ApiError, Json, SaladClient
from hps.fleet.salad.group import GpuClass, Group, Prototype
from hps.redaction import Scrubber

ORGANIZATION_ENV, PROJECT_ENV = "SALAD_ORGANIZATION", "SALAD_PROJECT"
# A list has no more, and no second page: beyond that each name is asked for.
_LISTED_AT_MOST = 100
# For so many classes it is asked how many machines there are now: each is a request.
_COUNTED_CLASSES = 20
_BILLED = "running"
# https://docs.salad.com/container-engine/explanation/billing-pricing/billing; such nodes always
# have the priority batch.
_USD_PER_VCPU_HOUR, _USD_PER_GB_HOUR = 0.004, 0.001
_SOURCE = "SaladCloud's documentation of billing, 2026-04-09"
_GONE_S = 60.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 8.0
# Waits before looking again for a group whose creation got no answer.
_ARRIVALS_S = (1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaladCloud:
    """One project of an organization. `gone_s`: how long `remove` waits for what it deletes."""

    client: SaladClient
    organization: str
    project: str
    gone_s: float = _GONE_S
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def open(
        cls, env: Mapping[str, str], *, organization: str = "", project: str = ""
    ) -> SaladCloud:
        """The project that the options name, else SALAD_ORGANIZATION and SALAD_PROJECT.

        Nothing is asked yet. Raises `HpsError` where one of these or the key is missing.
        """
        names = {
            ORGANIZATION_ENV: organization or env.get(ORGANIZATION_ENV, ""),
            PROJECT_ENV: project or env.get(PROJECT_ENV, ""),
        }
        unset = [variable for variable, name in names.items() if not name]
        unset += [] if env.get(KEY_ENV) else [KEY_ENV]
        if len(unset) > 1:
            raise HpsError(f"not set: {', '.join(unset)}", "docs/saladcloud.md says what they are")
        for variable, name in names.items():
            if not group.NAME.fullmatch(name):
                what = f"{variable} is {name[:80]!r}" if name else f"{variable} is not set"
                raise HpsError(what, "its name as in the portal's address: a-z, 0-9 and '-'")
        return cls(
            client=SaladClient.open(env),
            organization=names[ORGANIZATION_ENV],
            project=names[PROJECT_ENV],
        )

    @property
    def name(self) -> str:
        return "SaladCloud"

    def render(self, request: FleetRequest) -> str:
        """The requests that create its groups; GPU classes are looked up by their names."""
        made = group.prototype(request, self._classes(request), group.placeholders(request))
        return group.render(f"{self.client.base_url}{self._groups_path}", made, request.asked)

    def offers(self, request: FleetRequest) -> tuple[Offer, ...]:
        """The named classes, or all, at the request's priority; without a GPU the listed price."""
        if not (request.gpu_classes or request.gpus):
            return (_without_gpu(request),)
        classes = self._classes(request) if request.gpu_classes else self._all_classes()
        counted = len(classes) <= _COUNTED_CLASSES
        source = f"SaladCloud's API, {datetime.now(UTC):%Y-%m-%d}, priority {request.priority}"
        return tuple(
            Offer(
                name=one.name,
                usd_per_hour=_usd(one, request.priority),
                source=source,
                available=self._available(request, one) if counted else None,
            )
            for one in classes
            if request.priority in one.usd_per_hour
        )

    def start(self, request: FleetRequest, env: Mapping[str, str], say: Say) -> Started:
        """As the protocol says. What can't be taken away again is named to `say`, too."""
        keys = group.secrets_of(request, env)
        created: list[str] = []
        try:
            made = group.prototype(request, self._classes(request), keys)
            self._create_missing(request, made, created, say)
            return self._find_now(request)
        except HpsError as error:
            failed = error
        except BaseException:
            self._undo(request, created, say)
            raise
        # The API may repeat in its words what it was sent.
        message, hint = map(Scrubber(keys).text, (failed.message, failed.hint))
        left = self._undo(request, created, say)
        what = f"; NOT deleted, and billed: {', '.join(left)}" if left else ""
        raise HpsError(message + what, "delete them in SaladCloud's portal" if left else hint)

    def find(self, name: str) -> Started | None:
        """The fleet's groups, with those of their instances that are not deleted yet."""
        groups = self._groups_of(name)
        if not groups:
            return None
        return Started(
            names=tuple(one.name for one in groups),
            state=", ".join(dict.fromkeys(one.state for one in groups)),
            instances=tuple(found for one in groups for found in self._instances(one.name)),
            remark="; ".join(dict.fromkeys(one.remark for one in groups if one.remark)),
        )

    def remove(self, name: str, say: Say) -> Started | None:
        """Delete its groups, and wait a minute at most until they are gone."""
        for one in self._groups_of(name):
            try:
                self._delete(one.name)
                say(f"deleted: {one.name}")
            except HpsError as error:
                say(f"NOT deleted, and billed: {one.name}")
                say(f"  {error.message}")
        ends_s, pause_s = self.client.clock() + self.gone_s, _FIRST_PAUSE_S
        while (found := self.find(name)) is not None and self.client.clock() + pause_s < ends_s:
            self.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
        return found

    def logs(self, name: str, most_lines: int) -> tuple[str, ...]:
        """What SaladCloud says of the fleet's groups: at most 50 lines of each."""
        entries = [
            entry
            for one in self._groups_of(name)
            for entry in client.items(self._ask("GET", f"{_of(one.name)}/system-logs"), "items")
        ]
        lines = sorted(map(_line, entries))
        return tuple(lines[-most_lines:]) if most_lines > 0 else ()

    # --- Requests --------------------------------------------------------------------------------

    @property
    def _groups_path(self) -> str:
        return f"/organizations/{self.organization}/projects/{self.project}/containers"

    def _ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """Ask something below the project's groups."""
        return self.client.ask(method, f"{self._groups_path}{path}", body)

    def _ask_organization(self, method: str, path: str, body: Json | None = None) -> Json:
        return self.client.ask(method, f"/organizations/{self.organization}{path}", body)

    def _get(self, name: str) -> Group | None:
        """A group by its name; None where there is none."""
        try:
            return Group.read(self._ask("GET", _of(name)))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _delete(self, name: str) -> None:
        """Delete a group; that it is gone already is as good."""
        try:
            self._ask("DELETE", _of(name))
        except ApiError as error:
            if error.status != 404:
                raise

    def _groups_of(self, name: str) -> tuple[Group, ...]:
        """The groups of a fleet, by what they say of themselves."""
        listed = [Group.read(item) for item in client.items(self._ask("GET", ""), "items")]
        found = {one.name: one for one in listed if one.belongs_to == name}
        if len(listed) >= _LISTED_AT_MOST:
            hidden = set(group.names(name)) - {one.name for one in listed}
            more = (self._get(each) for each in sorted(hidden))
            found |= {one.name: one for one in more if one and one.belongs_to == name}
        order = {each: at for at, each in enumerate(group.names(name))}
        return tuple(sorted(found.values(), key=lambda one: order.get(one.name, len(order))))

    def _instances(self, name: str) -> tuple[Instance, ...]:
        """The instances of a group; none where it has gone meanwhile."""
        try:
            answer = self._ask("GET", f"{_of(name)}/instances")
        except ApiError as error:
            if error.status == 404:
                return ()
            raise
        return tuple(map(_instance, client.items(answer, "instances")))

    def _all_classes(self) -> tuple[GpuClass, ...]:
        answer = self._ask_organization("GET", "/gpu-classes")
        return tuple(map(GpuClass.read, client.items(answer, "items")))

    def _classes(self, request: FleetRequest) -> tuple[GpuClass, ...]:
        """The classes that a request names."""
        wanted = request.gpu_classes
        return group.chosen(wanted, self._all_classes()) if wanted else ()

    def _available(self, request: FleetRequest, one: GpuClass) -> int | None:
        """How many machines of a class there are now; None where the API doesn't say."""
        countries = group.countries(request.countries)
        body = {
            "gpu_classes": [one.id],
            "cpu": request.cpus,
            "memory": request.memory_mib,
            "storage_amount": request.storage_bytes,
            **({"country_codes": list(countries)} if countries else {}),
        }
        with suppress(ApiError):
            answer = self._ask_organization("POST", "/availability/sce-gpu-availability", body)
            return client.number(answer, f"available_gpu_{request.priority}")
        return None

    # --- Starting --------------------------------------------------------------------------------

    def _create_missing(
        self, request: FleetRequest, made: Prototype, created: list[str], say: Say
    ) -> None:
        """Create groups until as many nodes are asked for as the request wants."""
        there = self._groups_of(request.name)
        for one in there:
            _check_same(one, request)
        missing = request.asked - sum(one.replicas for one in there)
        if missing <= 0:
            return
        self._check_quota(missing)
        used = {one.name for one in there}
        numbers = iter(
            number for number, name in enumerate(group.names(request.name), 1) if name not in used
        )
        for replicas in group.sizes(missing):
            name = self._create(request, made, numbers, replicas, created)
            say(f"{name}: {replicas:,} instances")

    def _check_quota(self, missing: int) -> None:
        answer = client.inside(self._ask_organization("GET", "/quotas"), "container_groups_quotas")
        quota = client.number(answer, "container_replicas_quota")
        used = client.number(answer, "container_replicas_used")
        if missing > quota - used:
            hint = "ask for fewer nodes, remove groups (stopped ones count), or ask SaladCloud"
            what = f"{missing:,} instances are asked for, and of {quota:,} {used:,} are in use"
            raise HpsError(f"{self.organization}'s quota is too small: {what}", hint)

    def _create(
        self,
        request: FleetRequest,
        made: Prototype,
        numbers: Iterator[int],
        replicas: int,
        created: list[str],
    ) -> str:
        """Create a group under the next name that can be used; returns its name."""
        for number in numbers:
            body = made.body(number, replicas)
            if self._is_there_after(request, body, created):
                return str(body["name"])
        hint = "a name can't be used again once deleted: set HPS_FLEET to another one"
        raise HpsError(f"all names of groups for '{request.name}' are used up", hint)

    def _is_there_after(self, request: FleetRequest, body: Json, created: list[str]) -> bool:
        """Create one group; False where its name is used up. Raises `ApiError`.

        After an error it is looked for: what is there, and of this fleet, is right.
        """
        name = str(body["name"])
        created.append(name)
        try:
            self._ask("POST", "", body)
            return True
        except ApiError as error:
            failed = error
        if not failed.is_uncertain:
            created.remove(name)
        if failed.status in {401, 403, 429}:
            raise failed
        found = self._arrived(name) if failed.is_uncertain else self._get(name)
        if found is not None and found.belongs_to == request.name:
            _check_same(found, request)
            return True
        if failed.is_conflict:
            return False
        raise failed

    def _arrived(self, name: str) -> Group | None:
        """A group whose creation got no answer, and which may come late."""
        found = self._get(name)
        for pause_s in _ARRIVALS_S:
            if found is not None:
                break
            self.sleep(pause_s)
            found = self._get(name)
        return found

    def _find_now(self, request: FleetRequest) -> Started:
        found = self.find(request.name)
        if found is None:
            raise HpsError(f"SaladCloud doesn't list '{request.name}', which was created", "")
        return found

    def _undo(self, request: FleetRequest, created: list[str], say: Say) -> tuple[str, ...]:
        """Delete what was created; returns what could not be, having named it to `say`."""
        left = list(created)
        try:
            for name in created:
                with suppress(HpsError):
                    self._delete_own(request, name, say, is_late=name == created[-1])
                    left.remove(name)
        finally:
            for name in left:
                say(f"NOT deleted, and billed: {name}")
        return tuple(left)

    def _delete_own(self, request: FleetRequest, name: str, say: Say, *, is_late: bool) -> None:
        found = self._arrived(name) if is_late else self._get(name)
        if found is None:
            say(f"not there, and may come late: {name}")
        elif found.belongs_to == request.name:
            self._delete(name)
            say(f"deleted again: {name}")


# -------------------------------------------------------------------------------------------------


def _of(name: str) -> str:
    return f"/{quote(name, safe='')}"


def _check_same(found: Group, request: FleetRequest) -> None:
    if found.image != request.image or found.fleet != request.fleet:
        what = f"the image {found.image}" if found.image != request.image else "another fleet"
        hint = "`hps fleet down` removes it; HPS_FLEET with another name starts another fleet"
        raise HpsError(f"the group {found.name} is there already, with {what}", hint)


def _without_gpu(request: FleetRequest) -> Offer:
    """A node without a GPU, whose price the API doesn't say."""
    gib = request.memory_mib / 1024
    return Offer(
        name=f"{request.cpus} vCPU, {gib:g} GB of memory, no GPU",
        usd_per_hour=request.cpus * _USD_PER_VCPU_HOUR + gib * _USD_PER_GB_HOUR,
        source=_SOURCE,
    )


def _usd(one: GpuClass, priority: str) -> float:
    """The price of an hour, which comes as a text. Raises `HpsError`."""
    shown = one.usd_per_hour[priority]
    try:
        usd = float(shown)
    except ValueError:
        usd = -1.0
    if not 0 <= usd < 1e6:
        raise HpsError(f"SaladCloud's price of '{one.name}' is {shown!r}, which is none", "")
    return usd


def _instance(answer: Json) -> Instance:
    state = client.text(answer, "state")
    return Instance(
        id=client.text(answer, "id"),
        machine_id=client.text(answer, "machine_id"),
        state=state,
        is_billed=state == _BILLED,
        since=_time(client.text(answer, "update_time")),
    )


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)


def _line(entry: Json) -> str:
    """An entry of SaladCloud's own log, its time first."""
    at = _time(client.text(entry, "event_time"))
    machine = client.text(entry, "machine_id") if entry.get("machine_id") else ""
    moment = f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else "-"
    return " ".join(part for part in (moment, machine, client.text(entry, "event_name")) if part)
