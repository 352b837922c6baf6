"""The benches run, so that they cannot rot; their limits are judged by `make bench` alone."""

import pytest

from benches import codec


def test_codec_bench_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both figures are positive and the checked path writes the very bytes it read."""
    monkeypatch.setattr(codec, "CALLS", 50)
    result = codec.run()
    assert result["bare_us"] > 0
    assert result["ratio"] > 1
    assert codec.checked() == codec.bare() == codec.RAW
