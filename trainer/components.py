"""Models, tasks and trackers by name: this package's own from a table, a user's own by ``package.module:Class``."""

import inspect
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from data_catalog import InputError
from data_catalog.conformance import problems_of
from trainer.config import Component

SETTABLE = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def resolve(component: Component, *, own: Mapping[str, str], place: str) -> type[Any]:
    """The class that a component names.

    Args:
        component: What the configuration says.
        own: ``package.module:Class`` of each name that this package provides.
        place: Where in the configuration it stands, e.g. ``model``.

    Raises:
        InputError: If nothing goes by that name.
    """
    path = own.get(component.name, component.name)
    module_name, _, class_name = path.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), class_name)):
        raise InputError(
            f"config.{place}.name: {component.name!r} is none of {', '.join(sorted(own))}, "
            "nor does it read package.module:Class."
        )
    try:
        found = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"config.{place}.name: {path!r} cannot be imported: {error}.") from None
    if not isinstance(found, type):
        raise InputError(f"config.{place}.name: {path!r} is {found!r}, expected a class.")
    return found


def check_takes(kind: type, names: Iterable[str], *, place: str, of: str, name: str) -> None:
    """Refuses a class that does not take the arguments that the trainer passes.

    Args:
        kind: The class.
        names: Of the arguments.
        place: Where in the configuration it stands.
        of: What it is meant to be, with its article.
        name: What the configuration calls it.

    Raises:
        InputError: With those that are missing.
    """
    parameters = inspect.signature(kind).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    if missing := sorted(set(names) - {parameter.name for parameter in parameters}):
        raise InputError(
            f"config.{place}.name: {name!r} does not take {', '.join(missing)}; {of} is made with "
            f"{', '.join(sorted(names))}, and its own settings, all by name."
        )


def settings_of(component: Component, *, of: type[Any], given: frozenset[str], place: str) -> dict[str, Any]:
    """A component's settings, judged against the arguments of its class, defaults filled in.

    Args:
        component: What the configuration says.
        of: The class.
        given: Names of the arguments that the trainer itself passes.
        place: Where in the configuration it stands.

    Raises:
        InputError: With every problem found, each with its place.
    """
    hints = get_type_hints(of.__init__, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in list(inspect.signature(of.__init__).parameters.items())[1:]:
        if name not in given and parameter.kind in SETTABLE:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints.get(name, Any), default)
    judge = create_model(
        of.__name__,
        __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=()),
        **fields,
    )
    try:
        settings = judge.model_validate(component.settings)
    except ValidationError as error:
        lines = "\n".join(f"  {problem}" for problem in problems_of(error, root=f"config.{place}"))
        raise InputError(f"{component.name!r} takes {', '.join(fields) or 'no settings'}:\n{lines}") from None
    return {name: getattr(settings, name) for name in fields}
