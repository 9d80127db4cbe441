"""The array that labels of classes become."""

from data_catalog import Role
from pipeline.labels.recipe import LabelRecipe
from pipeline.plan.chunking import ChunkPlan
from pipeline.plan.group import ArrayDesign


def class_array(
    recipe: LabelRecipe, *, dims: tuple[str, ...], chunks: ChunkPlan, classes: dict[int, str], long_name: str
) -> ArrayDesign:
    """The variable that a recipe asks for, uint8; its ignore value where nothing is certain.

    Args:
        recipe: Names it, and what is left out.
        dims: Its dimensions.
        chunks: How it is cut.
        classes: A word for each class number.
        long_name: CF long name.
    """
    return ArrayDesign(
        name=recipe.variable,
        role=Role.CLASS_LABEL,
        dims=dims,
        dtype="uint8",
        chunks=chunks,
        fill=recipe.ignore_value,
        long_name=long_name,
        classes=classes,
    )
