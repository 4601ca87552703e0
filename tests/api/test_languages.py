"""Accept-Language: which of the languages that there are a client wants."""

import pytest

from merp_api.languages import preferred


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(None, "en", id="nothing-said"),
        pytest.param("", "en", id="empty"),
        pytest.param("zh", "zh", id="chinese"),
        pytest.param("zh-CN,zh;q=0.9,en;q=0.8", "zh", id="a-browser-in-china"),
        pytest.param("en-US,en;q=0.9,zh-CN;q=0.8", "en", id="a-browser-in-america"),
        pytest.param("ZH-hant-TW", "zh", id="another-script-and-case"),
        pytest.param("en;q=0.3, zh;q=0.4", "zh", id="weights-not-the-order"),
        pytest.param("zh, en", "en", id="both-alike-is-the-default"),
        pytest.param("zh;q=0", "en", id="not-chinese"),
        pytest.param("en;q=0, *;q=0.5", "zh", id="anything-but-english"),
        pytest.param("*", "en", id="anything"),
        pytest.param("fr, de;q=0.5", "en", id="none-that-there-is"),
        pytest.param("fr, zh;q=0.1", "zh", id="the-only-one-that-there-is"),
        pytest.param("zh;q=2", "en", id="no-weight"),
        pytest.param(";;;,zh,\x00", "zh", id="garbage-beside-it"),
        pytest.param("xx," * 40 + "zh", "en", id="beyond-what-is-looked-at"),
    ],
)
def test_preferred(header: str | None, expected: str) -> None:
    assert preferred(header) == expected
