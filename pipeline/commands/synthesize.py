"""``synthesize``: a survey that is made rather than recorded."""

from pathlib import Path
from typing import Annotated

import typer

from data_catalog import InputError
from data_catalog.model_file import read_mapping, validated


def synthesize(
    recipe: Annotated[Path, typer.Argument(help="YAML with the values of a SaltSurvey.")],
    out: Annotated[Path, typer.Option(help="Folder for the SEG-Y files.")],
) -> None:
    """Makes a synthetic salt survey: SEG-Y of amplitudes, and SEG-Y of where the salt is."""
    # Imported here: what they are made with (SciPy) would delay every other command.
    from pipeline.synthetic.salt_survey import SaltSurvey
    from pipeline.synthetic.segy_writer import write_salt_survey

    survey = validated(SaltSurvey, read_mapping(recipe), subject=str(recipe), root="recipe")
    try:
        files = write_salt_survey(survey, out=out)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}): choose another --out.") from None
    for path in (files.amplitude, files.salt):
        print(f"{path}: {path.stat().st_size} bytes")
