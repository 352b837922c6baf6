"""The codec bench compares what it says it compares."""

from benches import codec
from benches.plan import Plan


def test_codec_bench_measures() -> None:
    """Both figures are positive and the checked path writes the very bytes it read."""
    report = codec.run(Plan(quick=True))
    assert report.value("bare struct unpack + pack") > 0
    assert report.value("ratio") > 1
    assert codec.checked() == codec.bare() == codec.RAW
