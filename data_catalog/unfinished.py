"""The record of a dataset that has a store and no entry."""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, ConfigDict, ValidationError

from data_catalog.errors import InputError
from data_catalog.schema import Model, Name, Url
from data_catalog.storage import read_small_file, write_atomically

MOST_NBYTES = 2**20
"""Of a record: a name, a place and a date."""


class Unfinished(Model):
    """A dataset that is being made, was abandoned, or is being removed.

    Attributes:
        name: Name that its entry will have, or had.
        url: Where its store is.
        begun: When that began, with time zone.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # a URL that is refused for its password is not repeated

    name: Name
    url: Url
    begun: AwareDatetime


def begin_unfinished(name: str, url: str) -> Unfinished:
    """The record of a dataset that begins now; a local path becomes absolute.

    Raises:
        InputError: If the URL holds a password.
    """
    absolute_url = url if "://" in url else str(Path(url).absolute())
    try:
        return Unfinished(name=name, url=absolute_url, begun=datetime.now(UTC).replace(microsecond=0))
    except ValidationError as error:
        raise InputError(f"dataset {name!r} cannot be made there: {_sentences(error)}.") from None


def read_unfinished(path: Path) -> Unfinished | None:
    """The record in a file; None where there is no file.

    Raises:
        InputError: If it is not a record, or another dataset's.
    """
    try:
        record = Unfinished.model_validate_json(read_small_file(path, limit_nbytes=MOST_NBYTES))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InputError(f"{path} is not the record of an unfinished dataset: {_sentences(error)}.") from None
    if record.name != path.stem:
        raise InputError(f"{path} holds the record of a dataset named {record.name!r}; rename the file or the record.")
    return record


def write_unfinished(path: Path, record: Unfinished) -> None:
    """Writes a record, and makes its folder where there is none."""
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, f"{record.model_dump_json(indent=2)}\n")


def _sentences(error: ValidationError) -> str:
    """What is wrong, without the values: they may be secrets."""
    details = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, detail['loc']))} {detail['msg']}".strip() for detail in details)
