"""What is done with the deployment, and what must come of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from deliveries import SOURCE
from parts import DATASET, STORE

if TYPE_CHECKING:
    from collections.abc import Callable

    from api import Api
    from deliveries import Vendor
    from parts import Deployment

    from lazaretto.ledger.events import Event

INGEST = "lazaretto_ingest"
REVIEWED = "lazaretto_ingest_reviewed"
STEPS = ("receive", "validate", "embed", "screen", "gate", "admit")
ALL_WELL = dict.fromkeys(STEPS, "success")
HELD = ALL_WELL | {"admit": "skipped"}
REFUSED = dict.fromkeys(STEPS, "upstream_failed") | {"receive": "failed"}


@dataclass(slots=True)
class Checks:
    """The checks of one deployment; each is named, and fails by an exception.

    Attributes:
        deployment: what runs.
        api: of its Airflow.
        vendor: who delivers.
        failures: names of the checks that failed.
        uris: addresses of deliveries by their names.
        notified: what the notifier had been told before something was cleared.
    """

    deployment: Deployment
    api: Api
    vendor: Vendor
    failures: list[str] = field(default_factory=list)
    uris: dict[str, str] = field(default_factory=dict)
    notified: str = ""

    def all(self) -> list[tuple[str, Callable[[], None]]]:
        """All checks in their order; later ones go on from what earlier ones did."""
        return [
            ("no connection is an error that names it", self.no_connection),
            ("the connection form, and a connection made with it", self.connection),
            ("good, poisoned, broken, unsigned and forged at once", self.deliver),
            ("a late delivery, over a triggerer that is lost", self.late),
            ("what was held is told once, and cleared tasks change nothing", self.clear),
            ("three mapped deliveries", self.mapping),
            ("a backfill of three days", self.backfill),
            ("the review page", self.page),
            ("DAGs wait for people, who publish on the page", self.review),
            ("training was started by what was admitted", self.announced),
            ("lineage is sent, and the ledger holds", self.ledger),
        ]

    def no_connection(self) -> None:
        """A worker without settings keeps nothing of its own."""
        conf = {"uri": "s3://drop/vendor-a/none.parquet", "source": SOURCE}
        state, tasks = self._ingest("unset", conf)
        expect("states", (state, tasks), ("failed", REFUSED))
        text = json.dumps(self.api.log(INGEST, "unset", "receive"))
        expect("the log names it", "connections add lazaretto_default" in text, True)
        home = self.deployment.folder / "home"
        expect("nothing is made at home", [*home.rglob("*.db"), *home.rglob(".lazaretto")], [])

    def connection(self) -> None:
        """As the form sends it."""
        answer = self.api.client.get("/ui/connections/hook_meta")
        (form,) = [one for one in answer.json() if one["connection_type"] == "lazaretto"]
        fields = {name: one["schema"]["title"] for name, one in form["extra_fields"].items()}
        labels = {
            "catalog_url": "Catalog URL",
            "store": "Store",
            "namespace": "OpenLineage namespace",
        }
        expect("fields", fields, labels)
        extra = {"catalog_url": self.deployment.catalog_url, "store": STORE, "namespace": None}
        body = {"connection_id": "lazaretto_default", "conn_type": "lazaretto"}
        self.api.post("/connections", body | {"extra": json.dumps(extra)})

    def deliver(self) -> None:
        """Two runs work at the same time, on one catalog and one dataset."""
        vendor = self.vendor
        self.uris = {
            "good": vendor.deliver("good", vendor.part(0, 120)),
            "poisoned": vendor.deliver("poisoned", vendor.poisoned(120, 240)),
            "broken": vendor.deliver("broken", vendor.broken(240, 340)),
            "unsigned": vendor.deliver("unsigned", vendor.part(340, 390), signed=False),
            "forged": vendor.deliver("forged", vendor.part(390, 430), forged=True),
        }
        # It waits while the others run.
        self.api.trigger("late", "late", {"uri": "s3://drop/vendor-a/late.parquet"})
        for name, uri in self.uris.items():
            self.api.trigger(INGEST, name, {"uri": uri, "source": SOURCE})
        ends = {name: self.api.ended(INGEST, name) for name in self.uris}
        wanted = {
            "good": ("success", ALL_WELL),
            "poisoned": ("success", ALL_WELL),
            "broken": ("success", HELD),
            "unsigned": ("failed", REFUSED),
            "forged": ("failed", REFUSED),
        }
        expect("states", ends, wanted)
        codes = Counter(event.code for event in self._events("DeliveryRefused"))
        expect("refusals", codes, Counter(["unsigned", "unknown_key"]))
        judged = {self._name(event.batch): event for event in self._events("BatchJudged")}
        verdicts = {name: event.verdict.value for name, event in judged.items()}
        expect(
            "verdicts",
            verdicts,
            {"good": verdicts.get("good"), "poisoned": "HOLD_RECORDS", "broken": "HOLD_BATCH"},
        )
        expect("good", verdicts["good"] in ("PASS", "HOLD_RECORDS"), True)
        admitted = {self._name(event.batch): event.rows for event in self._events("BatchAdmitted")}
        cleared = {name: judged[name].cleared for name in ("good", "poisoned")}
        expect("admitted rows are those that the gate cleared", admitted, cleared)
        self._log_agrees("poisoned", judged["poisoned"])
        self._log_agrees("broken", judged["broken"])

    def _log_agrees(self, name: str, judged: Any) -> None:
        """One line per stage in Airflow's own log; the gate's says what the ledger says."""
        lines: list[dict[str, Any]] = []
        for step in STEPS[:5]:
            (line,) = [
                one
                for one in self.api.log(INGEST, name, step)
                if one.get("stage") == step and one.get("level") == "info"
            ]
            lines.append(line)
        gate = lines[-1]
        returned = self.api.returned(INGEST, name, "gate")
        for key in ("held", "rows", "cleared", "case"):
            wanted = getattr(judged, key)
            expect(f"{name}: {key} in log and XCom", (gate[key], returned[key]), (wanted, wanted))
        expect(f"{name}: verdict", gate["verdict"], judged.verdict.value)
        expect(f"{name}: reasons of XCom", returned["reasons"], judged.reasons)
        expect(f"{name}: notes of XCom", returned["notes"], judged.notes)
        for part in (gate["page"], gate["catalog"], gate["store"], judged.case):
            expect(f"{name}: {part} is in the line", part in gate["event"], True)
        expect(f"{name}: the store", gate["store"], STORE)
        (warning,) = [
            one
            for one in self.api.log(INGEST, name, "gate")
            if one.get("level") == "warning" and "are held" in one["event"]
        ]
        first = max(judged.reasons.items(), key=lambda item: item[1])[0]
        expect(f"{name}: the warning has the first reason", first in warning["event"], True)

    def late(self) -> None:
        """The trigger is taken over by the triggerer that comes after."""
        self._await_state("late", "late", "await", "deferred")
        self.deployment.kill("triggerer")
        self.deployment.start("triggerer")
        uri = self.vendor.deliver("late", self.vendor.poisoned(430, 550))
        self.uris["late"] = uri
        wanted = ("success", {"await": "success", "ingest": "success"})
        expect("states", self.api.ended("late", "late"), wanted)

    def clear(self) -> None:
        """A cleared gate gives what was decided; nobody is told of a hold a second time."""
        (judged,) = [
            event for event in self._events("BatchJudged") if self._name(event.batch) == "late"
        ]
        self.notified = self.deployment.told.read_text()
        page = f"/plugin/quarantine/lazaretto/batches/{judged.batch}"
        told = f"{judged.case} {judged.held} {self.deployment.address}{page}\n"
        expect("told", self.notified, told)
        before = {kind: len(self._events(kind)) for kind in ("BatchJudged", "BatchAdmitted")}
        self.api.clear(INGEST, "poisoned", ["gate"])
        self.api.clear("late", "late", ["ingest"])
        expect("poisoned", self.api.ended(INGEST, "poisoned"), ("success", ALL_WELL))
        state, tasks = self.api.ended("late", "late")
        expect("late", (state, tasks["ingest"]), ("success", "success"))
        after = {kind: len(self._events(kind)) for kind in before}
        expect("nothing is judged or admitted twice", after, before)
        expect("nobody is told again", self.deployment.told.read_text(), self.notified)

    def mapping(self) -> None:
        """No delivery stops another."""
        vendor = self.vendor
        deliveries = [
            vendor.deliver("map-0", vendor.part(550, 650)),
            vendor.deliver("map-1", vendor.part(650, 700), forged=True),
            vendor.deliver("map-2", vendor.broken(700, 780)),
        ]
        conf = {"deliveries": [{"uri": uri, "source": SOURCE} for uri in deliveries]}
        run = self.api.trigger("lazaretto_ingest_small", "mapped", conf)
        _, tasks = self.api.ended("lazaretto_ingest_small", run)
        found = [tasks[f"ingest[{number}]"] for number in range(3)]
        expect("states", found, ["success", "failed", "skipped"])

    def backfill(self) -> None:
        """Each day's delivery is found by its date."""
        days = ["2026-01-01", "2026-01-02", "2026-01-03"]
        for number, day in enumerate(days):
            start = 780 + 75 * number
            self.vendor.deliver(day, self.vendor.part(start, start + 75))
        span = {"from_date": f"{days[0]}T00:00:00Z", "to_date": f"{days[-1]}T00:00:00Z"}
        self.api.post("/backfills", {"dag_id": "daily", "max_active_runs": 2, **span})

        def states() -> list[str] | None:
            rows = self.api.get("/dags/daily/dagRuns")["dag_runs"]
            found = [row["state"] for row in rows if row["run_type"] == "backfill"]
            done = len(found) == len(days) and set(found) <= {"success", "failed"}
            return found if done else None

        expect("states", self.api.wait("the backfill", states), ["success"] * 3)
        received = {self._name(event.batch) for event in self._events("BatchReceived")}
        expect("each day is received", set(days) <= received, True)

    def page(self) -> None:
        """For who is signed in, and for nobody else."""
        signed_in = self.api.client.get("/lazaretto/")
        cases = [event.case for event in self._events("BatchJudged") if event.case]
        expect("cases are listed", [one for one in cases if one not in signed_in.text], [])
        anonymous = self.api.client.get("/lazaretto/", headers={"Authorization": "Bearer no"})
        expect("a stranger is kept out", anonymous.status_code in (401, 403), True)

    def review(self) -> None:
        """One waits in the triggerer, one for an answer; neither ends before a publication."""
        from lazaretto.quarantine.review import show_case

        uri = self.vendor.deliver("reviewed", self.vendor.poisoned(340, 430))
        run = self.api.trigger(REVIEWED, "reviewed", {"uri": uri, "source": SOURCE})
        broken = self._judged("broken")
        self.api.trigger("asked", "asked", {"batch": broken.batch})
        self._await_state("asked", "asked", "review", "awaiting_input")
        self._await_state(REVIEWED, run, "gate", "success")
        self._await_state(REVIEWED, run, "review", "deferred")
        released = self._judged("reviewed")
        self._decide(released.case, "RELEASE")
        self._decide(broken.case, "REJECT")
        self._await_state(REVIEWED, run, "review", "deferred")  # decided, and not published
        told = self._post(f"/cases/{released.case}/publish", {})
        expect("rows", told["admission"]["rows"], released.held)
        expect("told at once", told["announcement"], {"announced": True, "note": ""})
        expect("nothing", self._post(f"/cases/{broken.case}/publish", {})["admission"], None)
        expect("closed", show_case(self.vendor.workspace, broken.case).state, "CLOSED")
        question = "/dags/asked/dagRuns/asked/taskInstances/review/-1/hitlDetails"
        asked = self.api.get(question)
        expect("the question has the link", broken.batch in asked["body"], True)
        answer = {"chosen_options": ["Continue"], "params_input": {}}
        done = self.api.client.patch(f"/api/v2{question}", json=answer)
        expect("the answer is taken", done.status_code, 200)
        wanted = {"review": "success", "announce": "skipped"}
        expect("asked", self.api.ended("asked", "asked"), ("success", wanted))
        wanted = ALL_WELL | {"review": "success", "announce": "success"}
        expect("reviewed", self.api.ended(REVIEWED, run), ("success", wanted))

    def _judged(self, name: str) -> Any:
        """The judgement of a delivery."""
        found = [one for one in self._events("BatchJudged") if self._name(one.batch) == name]
        return found[0]

    def _decide(self, case: str, action: str) -> None:
        body = {"action": action, "all": True, "reason": "looked at it"}
        self._post(f"/cases/{case}/decisions", body)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        """Acts on the review page."""
        answer = self.api.client.post(
            f"/lazaretto/api/v1{path}", json=body, headers={"X-Lazaretto-Request": "1"}
        )
        expect(f"POST {path}: {answer.text[:300]}", answer.is_success, True)
        return answer.json()

    def announced(self) -> None:
        """Each version once, also of what was cleared; a hold starts no training."""
        versions = sorted(event.version for event in self._events("BatchAdmitted"))

        def told() -> list[int] | None:
            events = self.api.get("/assets/events", limit=100)["asset_events"]
            found = sorted(event["extra"].get("version", -1) for event in events)
            return found if len(found) >= len(versions) else None

        expect("versions", self.api.wait("the asset's events", told), versions)

        def trained() -> bool:
            runs = self.api.get("/dags/training/dagRuns")["dag_runs"]
            return bool(runs) and all(run["state"] == "success" for run in runs)

        expect("training", self.api.wait("training", trained), True)
        announced = sorted(event.version for event in self._events("VersionAnnounced"))
        expect("on record", announced, versions)

    def ledger(self) -> None:
        """Nothing waits to be sent; catalog, store and dataset are what the ledger says."""
        from lazaretto.dataset.table import open_dataset
        from lazaretto.health import check
        from lazaretto.ledger.verify import verify

        self.api.trigger("outbox", "outbox")
        expect("outbox", self.api.ended("outbox", "outbox")[0], "success")
        expect("remaining", self.api.returned("outbox", "outbox", "flush")["remaining"], 0)
        expect("the chain", verify(self.vendor.workspace).ok, True)
        expect("every byte", check(self.vendor.workspace, deep=True).sound, True)
        rows = sum(file.rows for file in open_dataset(self.vendor.workspace, DATASET).files)
        expect("rows", rows, sum(event.rows for event in self._events("BatchAdmitted")))
        actors = {entry.actor.id.partition(".")[0] for entry in self._entries("BatchAdmitted")}
        dags = (INGEST, REVIEWED, "lazaretto_ingest_small", "late", "daily")
        expect("who admitted", actors - {f"airflow:{dag}" for dag in dags}, {"user:admin"})

    def _ingest(self, run: str, conf: dict[str, str]) -> tuple[str, dict[str, str]]:
        self.api.wait("the DAGs", self._parsed)
        return self.api.ended(INGEST, self.api.trigger(INGEST, run, conf))

    def _parsed(self) -> bool:
        dags = {row["dag_id"] for row in self.api.get("/dags", limit=100)["dags"]}
        errors = self.api.get("/importErrors")["import_errors"]
        expect("import errors", errors, [])
        ours = {INGEST, REVIEWED, "lazaretto_ingest_small"}
        return ours | {"late", "daily", "training", "outbox", "asked"} <= dags

    def _await_state(self, dag: str, run: str, task: str, state: str) -> None:
        self.api.wait(f"{task}: {state}", lambda: self.api.tasks(dag, run).get(task) == state)

    def _entries(self, kind: str) -> list[Any]:
        from lazaretto.ledger import chain, events

        found: type[Event] = getattr(events, kind)
        with self.vendor.workspace.catalog.read() as connection:
            return list(chain.entries(connection, kinds=[found.kind]))

    def _events(self, kind: str) -> list[Any]:
        return [entry.event for entry in self._entries(kind)]

    def _name(self, batch: str) -> str:
        """The name of a delivery, by the batch that it became."""
        from lazaretto.received import load_batch

        uri = load_batch(self.vendor.workspace, batch).event.uri
        return uri.rpartition("/")[2].removesuffix(".parquet")


def run_checks(checks: Checks) -> list[str]:
    """Runs all checks, says how each went, and returns the names of those that failed."""
    for name, check in checks.all():
        started = time.monotonic()
        try:
            check()
        except Exception as error:
            checks.failures.append(name)
            print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
        else:
            print(f"ok      {name} ({time.monotonic() - started:.0f} s)", flush=True)
    return checks.failures


def expect(what: str, found: object, wanted: object) -> None:
    """Raises AssertionError where something is not what it must be."""
    if found != wanted:
        at = datetime.now(UTC).strftime("%H:%M:%S")
        raise AssertionError(f"{what} ({at}): {found!r}, and not {wanted!r}")
