"""Large freed blocks are used again, where the C library can be told so."""

import subprocess
import sys

import pytest


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc hands large blocks back at once")
def test_a_large_tensor_gets_the_pages_of_the_one_freed_before():
    code = """
import resource, torch
from stylegan2.kernels.allocation import keep_freed_memory
kept = keep_freed_memory()
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(12):  # it takes a few until the heap has grown
    x = torch.ones(2**25)
    y = x + 1
    del x, y
before = faults()
x = torch.ones(2**25)
y = x + 1
print(int(kept), faults() - before)
"""
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8"
    ).stdout
    kept, faults = map(int, out.split())
    if not kept:
        pytest.skip("this C library has no mallopt")
    assert faults < 2 * 2**25 * 4 / 4096 / 10
