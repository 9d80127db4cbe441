"""A run's folder: made, and read back with its configuration and its network as it was at the best checkpoint."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile

from data_catalog import Catalog, InputError, Variable
from trainer.checkpoint import best_checkpoint, load_scored_model, read_state
from trainer.config import Config
from trainer.config_file import read_config
from trainer.data.normalise import Normalisation
from trainer.experiment import Experiment, Learned, prepare


def make_run_folder(folder: Path) -> None:
    """Makes the folder where it is not there, and proves that it can be written.

    Raises:
        InputError: If it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"the run's folder {folder} cannot be written ({error.strerror}): choose another --out."
        ) from None


def open_run(folder: Path, *, catalog: Catalog, dataset: str | None = None, alone: bool = False) -> Experiment:
    """The experiment of a run, with the weights and the normalisation of its best checkpoint.

    Args:
        folder: What `fit` has written.
        catalog: Where to look for the dataset.
        dataset: Another dataset than the run was trained on.
        alone: Whether to open one dataset only, the main one by default.

    Raises:
        InputError: If the folder holds no run, or its network does not suit the dataset.
    """
    checkpoint = best_checkpoint(folder / "checkpoints")
    if checkpoint is None:
        raise InputError(
            f"{folder} holds no checkpoint: give the folder that `fit` wrote, its `out`; a run that ended before the "
            "first one left nothing to go by."
        )
    config = read_config(folder / "config.yaml")
    state = read_state(checkpoint)
    label = None if state.label is None else Variable.model_validate(state.label)
    learned = Learned({name: Normalisation(**each) for name, each in state.normalisations.items()}, label=label)
    experiment = prepare(
        _elsewhere(config, dataset=dataset or (config.dataset.name if alone else None)),
        catalog=catalog,
        learned=learned,
    )
    load_scored_model(checkpoint, model=experiment.model)
    return replace(experiment, state=state)


def _elsewhere(config: Config, *, dataset: str | None) -> Config:
    if dataset is None:
        return config
    named = config.dataset.model_copy(update={"name": dataset})
    return config.model_copy(update={"dataset": named, "more_datasets": ()})
