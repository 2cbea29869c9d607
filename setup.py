"""The packages of the distribution; everything else about it is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["stylegan2", "stylegan2.*"]), "stylegan2.configs"],
    package_dir={"stylegan2.configs": "configs"},
)
