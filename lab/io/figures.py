"""Draws the figures of an experiment into SVG files; the same results give the same bytes."""

from io import BytesIO
from typing import Final

from matplotlib import rc_context
from matplotlib.figure import Figure as Canvas
from pyarrow import Table

from lab.drawing import STYLE
from lab.experiment import Figure

RASTER_DPI: Final = 200
"""Of what is drawn as pixels: clouds of thousands of points, each of which would be a hundred bytes of SVG."""


def svg(figure: Figure, table: Table) -> bytes:
    """The drawn figure."""
    with rc_context(STYLE):
        canvas, written = Canvas(layout="constrained"), BytesIO()
        figure.draw(table, canvas)
        canvas.savefig(written, format="svg", dpi=RASTER_DPI, metadata={"Date": None, "Title": figure.title})
    return written.getvalue()
