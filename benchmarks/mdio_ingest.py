"""SEG-Y to MDIO, run by multidimio's own Python for `against_mdio`: SOURCE TARGET [CHUNK CODEC LEVEL SHUFFLE].

With its first two arguments alone everything is multidimio's default, as in its quick start.
"""

import sys

from mdio import segy_to_mdio
from mdio.builder.schemas.chunk_grid import RegularChunkGrid, RegularChunkShape
from mdio.builder.schemas.compressors import Blosc
from mdio.builder.schemas.dtype import ScalarType
from mdio.builder.schemas.v1.variable import VariableMetadata
from mdio.builder.template_registry import TemplateRegistry
from mdio.builder.templates.seismic_3d_poststack import Seismic3DPostStackTemplate
from segy.standards import get_segy_standard


class WithCodec(Seismic3DPostStackTemplate):
    """multidimio's post-stack template with another codec for the samples, and other chunks."""

    def __init__(self, chunk: int, codec: Blosc) -> None:
        super().__init__(data_domain="time")
        self.full_chunk_shape = (chunk, chunk, chunk)
        self._codec = codec

    def _add_variables(self) -> None:
        grid = RegularChunkGrid(configuration=RegularChunkShape(chunk_shape=self.full_chunk_shape))
        self._builder.add_variable(
            name=self.default_variable_name,
            dimensions=self._dim_names,
            data_type=ScalarType.FLOAT32,
            compressor=self._codec,
            coordinates=self.coordinate_names,
            metadata=VariableMetadata(chunk_grid=grid, units_v1=self.get_unit_by_key(self.default_variable_name)),
        )


def main() -> None:
    source, target, *settings = sys.argv[1:]
    template = TemplateRegistry().get("PostStack3DTime")
    if settings:
        chunk, codec, level, shuffle = settings
        template = WithCodec(int(chunk), Blosc(cname=codec, clevel=int(level), shuffle=shuffle, typesize=4))
    segy_to_mdio(get_segy_standard(1.0), template, source, target)


if __name__ == "__main__":  # its workers import this module
    main()
