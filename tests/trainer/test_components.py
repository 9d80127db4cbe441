import pytest

from data_catalog import InputError
from trainer.components import resolve, settings_of
from trainer.config import Component

OWN_MODEL = """
from torch import nn

class Pointwise(nn.Sequential):
    def __init__(self, dims: int, in_channels: int, out_channels: int, model_width: int = 3, act: str = "relu"):
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        super().__init__(convolution(in_channels, model_width, 1), nn.ReLU(), convolution(model_width, out_channels, 1))

NOT_A_CLASS = 3
"""
GIVEN = frozenset({"dims", "in_channels", "out_channels"})


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(OWN_MODEL)
    monkeypatch.syspath_prepend(tmp_path)


def test_settings_are_judged_and_filled_in(own_module):
    component = Component(name="own_networks:Pointwise", model_width="5")
    kind = resolve(component, own={}, place="model")
    assert settings_of(component, of=kind, given=GIVEN, place="model") == {"model_width": 5, "act": "relu"}


def test_a_networks_given_arguments_are_no_settings(own_module):
    component = Component(name="own_networks:Pointwise", dims=2)
    kind = resolve(component, own={}, place="model")
    with pytest.raises(InputError, match=r"takes model_width, act:\n  config.model.dims: Extra inputs"):
        settings_of(component, of=kind, given=GIVEN, place="model")


def test_what_is_no_class_is_refused(own_module):
    with pytest.raises(InputError, match="is 3, expected a class"):
        resolve(Component(name="own_networks:NOT_A_CLASS"), own={}, place="model")


def test_a_users_own_network_is_trained(own_module, call, salt_stack, write_recipe, tmp_path):
    recipe = write_recipe(model={"name": "own_networks:Pointwise", "model_width": 4}, steps=2)
    assert call("fit", recipe) == 0
    assert call("predict", tmp_path / "run", "--halo", "0") == 0
