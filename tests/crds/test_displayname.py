"""Names for people: any language, on one line, and something to be seen."""

import pytest

from merp_crds.displayname import check_display_name


@pytest.mark.parametrize(
    "name",
    [
        "库存盘点任务 #1 (夜间)",
        "✅ 𠮷野家",
        "👩\u200d🔧",
        "مخزون",
        "\U0001fae9",
        " a ",
        "\u202eabc\u202c",
        "<b>&amp;</b>",
    ],
)
def test_what_people_write_stays_as_it_is(name: str) -> None:
    assert check_display_name(name) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("a\nb", "line break", id="two-lines"),
        pytest.param("a\u2028b", "line break", id="two-lines-of-unicode"),
        pytest.param("a\x00", "control character", id="NUL"),
        pytest.param("a\x1b[2J", "control character", id="terminal"),
        pytest.param(" ", "nothing that can be seen", id="blank"),
        pytest.param("\u3000\u200b\u2060\ufeff", "nothing that can be seen", id="blanks-of-unicode"),
        pytest.param("\ue000", "nothing that can be seen", id="private-use"),
    ],
)
def test_what_nobody_could_read_is_refused(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_display_name(name)
