"""The parts of pages: everything is inside, text is escaped, and only the page's own script may run."""

import base64
import hashlib

import pytest

from stylegan2.html_page import document, escaped, table


def test_a_page_allows_its_own_script_alone():
    page = document("<b>", "run.css", "<p>1</p>", "let a = 1")
    digest = base64.b64encode(hashlib.sha256(b"let a = 1").digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "<script>let a = 1</script>" in page
    assert "<title>&lt;b&gt;</title>" in page and "<style>" in page
    assert "script" not in document("title", "report.css", "<p>1</p>")


def test_text_cannot_turn_its_direction_or_start_a_tag():
    assert escaped("a\u202e<i>") == "a\\u202e&lt;i&gt;"


def test_a_table_has_headings_of_columns_and_rows_and_a_class_for_each_row():
    found = table(["a", "b"], [["1", "2"], ["3", "4"]], ["new", "old"])
    assert found.count('scope="col"') == 2 and found.count('scope="row"') == 2
    assert '<tr class="old"><th scope="row">3</th><td>4</td></tr>' in found
    with pytest.raises(ValueError, match="longer"):
        table(["a"], [["1"], ["2"]], ["new"])
