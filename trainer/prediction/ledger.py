"""How far a prediction is: ``work/`` of its group says what is predicted, and which columns of shards are written.

The same prediction goes on from there, whatever ended it; another one does not.
"""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from data_catalog import layout
from data_catalog.storage import open_storage, patiently, reached

Plan = Mapping[str, JsonValue]


class Ledger:
    """The plan and the ledger of one group."""

    def __init__(self, url: str) -> None:
        """Looks at nothing yet.

        Args:
            url: Of the group.
        """
        self._url = url
        self._filesystem, self._path = open_storage(url)

    def plan(self) -> Plan | None:
        """What is being predicted; None where nothing is, or nobody says so.

        Raises:
            InputError: If it cannot be read.
        """
        with reached(self._url):
            try:
                content = patiently(lambda: self._filesystem.cat_file(f"{self._path}/{layout.PLAN}"))
            except FileNotFoundError:
                return None
        try:
            found = json.loads(content)
        except ValueError:
            return None  # its writer was killed at once
        return found if isinstance(found, dict) else None

    def begin(self, plan: Plan) -> None:
        """Says what is being predicted."""
        self._put(layout.PLAN, json.dumps(plan, indent=2))

    def done(self) -> set[str]:
        """Names of the columns that are written."""
        with reached(self._url):
            try:
                found = patiently(lambda: self._filesystem.ls(f"{self._path}/{layout.LEDGER}", detail=False))
            except FileNotFoundError:
                return set()
        return {str(path).rpartition("/")[2] for path in found}

    def note(self, column: str) -> None:
        """Says that a column is written."""
        self._put(f"{layout.LEDGER}/{column}", "")

    def end(self) -> None:
        """Nothing of it is needed any more."""
        with reached(self._url):
            for name in (layout.LEDGER, layout.PLAN):
                if self._filesystem.exists(f"{self._path}/{name}"):
                    self._filesystem.rm(f"{self._path}/{name}", recursive=True)

    def _put(self, name: str, text: str) -> None:
        path = f"{self._path}/{name}"
        with reached(self._url):
            self._filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._filesystem.pipe_file(path, text.encode())
