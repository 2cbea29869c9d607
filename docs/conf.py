"""How Sphinx builds the documentation: sphinx-build -W docs docs/_build/html."""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS / "extensions")]
os.environ.setdefault("WANDB_MODE", "offline")

import stylegan2  # noqa: E402 - found by the path above

project = "stylegan2"
author = "the stylegan2 authors"
project_copyright = "2026, the stylegan2 authors"
version = release = stylegan2.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "api_pages",
    "docstrings",
    "mathml",
    "offline",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"stylegan2 {version}"
html_static_path = ["static"]
html_css_files = ["wide_tables.css"]
html_js_files = ["sortable_tables.js"]
html_copy_source = html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "monokai"

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
highlight_language = "text"
html_math_renderer = "mathml"

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_maximum_signature_line_length = 90
api_package, api_folder = stylegan2, DOCS / "api"

sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples"),
    "gallery_dirs": "examples",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}
suppress_warnings = [
    "config.cache",  # functions among the settings of the gallery
    "ref.python",  # a name in a signature that two modules define
]
