"""Sphinx extension: equations become MathML at build, so that no page loads a script for them."""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

logger = logging.getLogger(__name__)


def mathml(node: nodes.Element, display: str) -> str:
    """The MathML of an equation; one that cannot be read is a warning and stands as its source."""
    try:
        return convert(node.astext(), display=display)
    except Exception as error:
        logger.warning("cannot read the equation %s: %r", node.astext(), error, location=node)
        return f"<code>{node.astext()}</code>"


def visit_inline(translator, node: nodes.math) -> None:
    translator.body.append(mathml(node, "inline"))
    raise nodes.SkipNode


def visit_block(translator, node: nodes.math_block) -> None:
    number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(f"{number}{mathml(node, 'block')}</div>\n")
    raise nodes.SkipNode


def setup(app) -> dict:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
