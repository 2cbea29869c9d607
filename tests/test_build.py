"""Building the kernels: once, whoever starts together; never a hang, one warning that helps."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import pytest
import torch

from stylegan2.errors import InputError
from stylegan2.kernels import build, cache, compiler
from stylegan2.kernels import library as kernels
from stylegan2.ops import bias_act
from stylegan2.tools.doctor import doctor

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """Nothing loaded, an empty cache, and a source that compiles in a second."""
    monkeypatch.setenv("STYLEGAN2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STYLEGAN2_KERNELS", "auto")
    monkeypatch.setattr(build, "_loaded", {})
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    (tmp_path / "cpu.cpp").write_text("int nothing() { return 0; }", encoding="utf-8")
    return tmp_path


def python(folder, code, **environment):
    """A process that builds the small source."""
    header = f"""
    from pathlib import Path
    from stylegan2.kernels import build
    build.SOURCES = Path({str(folder)!r})
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(header) + textwrap.dedent(code)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    )


BUILD = """
compile = build._compile
build._compile = lambda *args: print("compiling") or compile(*args)
print("available", build.available("cpu"))
"""


@needs_compiler
def test_two_processes_starting_at_once_build_once(fresh):
    both = [python(fresh, BUILD) for _ in range(2)]
    output = "".join(process.communicate(timeout=120)[0] for process in both)
    assert output.count("available True") == 2 and output.count("compiling") == 1, output


@needs_compiler
def test_a_killed_build_neither_hangs_the_next_nor_leaves_a_trace(fresh):
    compiler = fresh / "compiler"
    compiler.write_text(
        f'#!/bin/sh\n[ -e {fresh}/stuck ] && touch {fresh}/started && sleep 600\nexec c++ "$@"\n',
        encoding="utf-8",
    )
    compiler.chmod(0o755)
    (fresh / "stuck").touch()
    killed = python(fresh, BUILD, CXX=str(compiler))
    for _ in range(600):
        if (fresh / "started").exists():
            break
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert list((fresh / "cache").glob(".cpu-*"))  # it died half-way
    (fresh / "stuck").unlink()
    output = python(fresh, BUILD, CXX=str(compiler)).communicate(timeout=120)[0]
    assert "available True" in output
    assert not list((fresh / "cache").glob(".cpu-*"))


@needs_compiler
def test_a_lock_that_is_never_released_is_waited_for_aloud_and_given_up(fresh, monkeypatch, capsys):
    import fcntl

    what = build.plan("cpu")
    (fresh / "cache").mkdir()
    monkeypatch.setattr(cache, "LOCK_LIMIT", 0.2)
    with open(fresh / "cache" / f"{what.name}.lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.warns(UserWarning, match="another process has held"):
            assert not build.available("cpu")
    assert "waiting for another process, which is building the kernels" in capsys.readouterr().err


def falls_back(words):
    """One warning that says so, one result: the reference's."""
    x, b = torch.randn(2, 3, 4, 4), torch.randn(3)
    with pytest.warns(UserWarning) as caught:
        for _ in range(3):
            y = bias_act(x, b, "lrelu")
    assert len(caught) == 1 and words in str(caught[0].message)
    torch.testing.assert_close(y, bias_act.__wrapped__(x, b, "lrelu"))


@needs_compiler
def test_a_cache_folder_that_cannot_be_written_falls_back(fresh, monkeypatch):
    monkeypatch.setenv("STYLEGAN2_CACHE", str(fresh / "cpu.cpp" / "cache"))  # below a file: not even for root
    falls_back("Set STYLEGAN2_CACHE")


@needs_compiler
def test_a_finished_cache_may_be_read_only(fresh, monkeypatch):
    assert build.available("cpu")
    monkeypatch.setattr(build, "_loaded", {})
    monkeypatch.setattr(cache, "make", None)  # not even asked for
    assert build.available("cpu")


@needs_compiler
def test_a_built_library_is_used_where_no_compiler_is(fresh, monkeypatch):
    assert build.available("cpu")
    monkeypatch.setattr(build, "_loaded", {})
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.setenv("CUDA_HOME", str(fresh))
    assert build.available("cpu")
    assert build.plan("cuda", ("9.0",)).name  # needs no nvcc either


def delete(library):
    library.unlink()


def replace(library, data):
    library.unlink()  # this process may have the old file in its memory
    library.write_bytes(data)


def cut_off(library):
    replace(library, library.read_bytes()[: library.stat().st_size // 2])


def flip_a_bit(library):
    data = bytearray(library.read_bytes())
    data[len(data) // 2] ^= 1
    replace(library, data)


def lose_the_report(library):
    (library.parent / cache.REPORT).unlink()


def spoil_the_report(library):
    (library.parent / cache.REPORT).write_text("[", encoding="utf-8")


@needs_compiler
@pytest.mark.parametrize("spoil", [delete, cut_off, flip_a_bit, lose_the_report, spoil_the_report])
def test_a_library_that_is_not_whole_is_built_again_once(fresh, spoil):
    what = build.plan("cpu")
    built = []

    def make():
        return cache.make(what.name, lambda folder: built.append(folder) or build._compile(what, folder))[0]

    library = make() / cache.LIBRARY
    whole = library.read_bytes()
    spoil(library)
    assert cache.find(what.name) is None
    assert make() == make() == library.parent == cache.find(what.name)
    assert len(built) == 2 and len(library.read_bytes()) == len(whole)


@needs_compiler
def test_a_spoilt_library_in_a_read_only_cache_is_not_loaded(fresh, monkeypatch):
    assert build.available("cpu")
    (library,) = (fresh / "cache").glob(f"*/{cache.LIBRARY}")
    cut_off(library)
    monkeypatch.setattr(build, "_loaded", {})
    monkeypatch.setattr(cache, "open", refuse, raising=False)
    with pytest.warns(UserWarning, match="Set STYLEGAN2_CACHE"):
        assert not build.available("cpu")


def refuse(*args, **kwargs):
    raise OSError(30, "Read-only file system")


@needs_compiler
def test_a_home_that_cannot_be_written_leaves_the_temporary_folder(fresh, monkeypatch, capsys):
    temporary = fresh / "temporary"
    temporary.mkdir()
    monkeypatch.delenv("STYLEGAN2_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(fresh / "cpu.cpp"))  # a file: not even root can write below it
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(temporary))
    assert build.available("cpu")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "cannot write" in said and str(temporary) in said
    (own,) = temporary.iterdir()
    assert own.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(build, "_loaded", {})
    monkeypatch.setattr(cache, "make", None)
    assert build.available("cpu") and not capsys.readouterr().err


@needs_compiler
def test_a_folder_of_someone_else_among_the_temporary_files_is_not_trusted(fresh, monkeypatch):
    monkeypatch.delenv("STYLEGAN2_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(fresh / "cpu.cpp"))
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(fresh))
    (fresh / f"stylegan2-{os.getuid()}").mkdir()
    (fresh / f"stylegan2-{os.getuid()}").chmod(0o777)
    with pytest.warns(UserWarning, match="other users"):
        assert not build.available("cpu")


@needs_compiler
def test_a_cache_that_one_user_filled_serves_every_user(fresh, monkeypatch):
    before = os.umask(0o022)
    try:
        assert build.available("cpu")
    finally:
        os.umask(before)
    (library,) = (fresh / "cache").glob(f"*/{cache.LIBRARY}")
    for path in (library, library.parent, library.parent / cache.REPORT):
        assert path.stat().st_mode & 0o004


def test_an_absent_compiler_falls_back(fresh, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    falls_back("no C++ compiler ('no-such-compiler'). Install")


@needs_compiler
def test_a_failing_compilation_falls_back_and_quotes_the_compiler(fresh):
    (fresh / "cpu.cpp").write_text("#error out of luck", encoding="utf-8")
    falls_back("out of luck")


@needs_compiler
def test_a_virtual_environment_may_lie_in_a_folder_with_spaces(fresh, monkeypatch):
    from torch.utils import cpp_extension

    link = fresh / "größe ² x"
    link.symlink_to(cpp_extension.TORCH_LIB_PATH, target_is_directory=True)
    monkeypatch.setattr(cpp_extension, "TORCH_LIB_PATH", str(link))
    assert build.available("cpu")
    assert str(link) == cpp_extension.TORCH_LIB_PATH


def test_an_absent_nvcc_is_named(fresh, monkeypatch):
    monkeypatch.setenv("CUDA_HOME", str(fresh))
    with pytest.warns(UserWarning, match="no CUDA compiler .* set CUDA_HOME"):
        assert not build.available("cuda")


@needs_nvcc
@needs_compiler
def test_another_major_cuda_version_is_refused_and_another_minor_one_is_not(monkeypatch):
    release = compiler.re.search(r"release (\d+)", compiler._run("nvcc", "--version"))[1]
    monkeypatch.setattr(torch.version, "cuda", f"{release}.99")
    assert "sm_90" in " ".join(compiler.architecture_flags(("9.0",)))
    monkeypatch.setattr(torch.version, "cuda", f"{int(release) + 1}.0")
    with pytest.raises(compiler.BuildError, match="PyTorch of CUDA"):
        compiler.architecture_flags(("9.0",))


@needs_nvcc
def test_the_cuda_folder_is_found_behind_a_link_and_behind_a_script(tmp_path, monkeypatch):
    home = compiler.cuda_home()
    assert (home / "include" / "cuda_runtime.h").exists()
    link, script = tmp_path / "link" / "nvcc", tmp_path / "script" / "nvcc"
    for path in (link, script):
        path.parent.mkdir()
    link.symlink_to(home / "bin" / "nvcc")
    script.write_text(f'#!/bin/sh\nexec {home}/bin/nvcc "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.delenv("CUDA_HOME", raising=False)
    for path in (link, script):
        monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
        assert compiler.cuda_home() == home


def test_require_raises_where_auto_warns(fresh, monkeypatch):
    monkeypatch.setenv("STYLEGAN2_KERNELS", "require")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(compiler.BuildError, match="no C\\+\\+ compiler"):
        bias_act(torch.randn(2, 3))


def test_off_neither_builds_nor_warns(fresh, monkeypatch):
    monkeypatch.setenv("STYLEGAN2_KERNELS", "off")
    monkeypatch.setattr(build, "plan", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bias_act(torch.randn(2, 3))


def test_an_unknown_mode_is_refused(fresh, monkeypatch):
    monkeypatch.setenv("STYLEGAN2_KERNELS", "maybe")
    with pytest.raises(InputError, match="auto, require or off"):
        bias_act(torch.randn(2, 3))


def test_importing_builds_nothing(tmp_path):
    process = python(tmp_path, "import stylegan2; print(build._loaded)", CXX="no-such-compiler")
    assert process.communicate(timeout=120)[0].strip() == "{}"


@needs_compiler
def test_the_key_depends_on_the_source_and_the_torch_version(fresh, monkeypatch):
    first = build.plan("cpu").name
    monkeypatch.setattr(torch, "__version__", "99.0")
    second = build.plan("cpu").name
    (fresh / "cpu.cpp").write_text("int other() { return 0; }", encoding="utf-8")
    assert len({first, second, build.plan("cpu").name}) == 3


@needs_compiler
def test_the_doctor_says_ready_or_what_to_do(monkeypatch, capsys, tmp_path):
    assert doctor() == 0
    assert capsys.readouterr().out.rstrip().endswith("ready")
    monkeypatch.setattr(build, "_loaded", {})
    monkeypatch.setenv("STYLEGAN2_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert doctor() == 1
    assert "Install g++" in capsys.readouterr().out


@pytest.mark.slow
@needs_nvcc
@needs_compiler
def test_the_cuda_sources_compile_for_two_architectures(tmp_path):
    code = 'build.build(build.plan("cuda", ("8.0", "9.0"))); print("built")'
    process = python(build.SOURCES, code, STYLEGAN2_CACHE=str(tmp_path))
    output = process.communicate(timeout=600)[0]
    assert "built" in output, output


@pytest.mark.slow
@needs_compiler
def test_the_cuda_kernels_run_on_the_host_compute_what_the_cpu_kernels_do(tmp_path):
    import test_kernels

    load_cuda_kernels_on_host(tmp_path)
    theirs = torch.ops.stylegan2_on_host
    seen = []

    def compare(name):
        ours = getattr(kernels, f"_{name}")

        def both(*args):
            seen.append(name)
            result = ours(*args)
            other = getattr(theirs, name)(*[a.detach() if isinstance(a, torch.Tensor) else a for a in args])
            assert other.stride() == result.stride()
            tolerance = (
                8
                * torch.finfo(result.dtype).eps
                * max(1, float(result.detach().abs().max() if result.numel() else 0))
            )
            torch.testing.assert_close(other, result.detach(), rtol=0, atol=tolerance)
            return result

        return both

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_kernels.dispatch, "_FASTER_IN_PYTORCH", {})
        for name in ("upfirdn2d", "bias_act", "bias_act_grad"):
            patch.setattr(kernels, f"_{name}", compare(name))
        for dtype in test_kernels.DTYPES:
            for form in test_kernels.FORMATS:
                for name in test_kernels.UPFIRDN2D:
                    torch.manual_seed(0)  # so that each case has the data of its own test
                    test_kernels.test_upfirdn2d_and_its_derivatives_are_as_exact_as_pytorchs(
                        "cpu", name, dtype, form
                    )
                for name in test_kernels.BIAS_ACT:
                    torch.manual_seed(0)
                    test_kernels.test_bias_act_and_its_derivatives_are_as_exact_as_pytorchs(
                        "cpu", name, dtype, form
                    )
    assert {"upfirdn2d", "bias_act", "bias_act_grad"} == set(seen)


def load_cuda_kernels_on_host(folder: Path) -> None:
    """The .cu files as C++, a thread at a time, as ops of their own."""
    from torch.utils.cpp_extension import load

    library = torch.library.Library("stylegan2_on_host", "DEF")
    for name in ("upfirdn2d", "bias_act", "bias_act_grad"):
        schema = str(getattr(torch.ops.stylegan2, name).default._schema)
        library.define(schema.removeprefix("stylegan2::"))
    load_cuda_kernels_on_host.keep = library
    sources = []
    for name in ("upfirdn2d", "bias_act"):
        sources.append(folder / f"{name}.cpp")
        sources[-1].write_text(f'#include "{build.SOURCES}/{name}.cu"\n', encoding="utf-8")
    load(
        "stylegan2_on_host",
        [str(source) for source in sources],
        extra_cflags=["-O1", "-DSG2_ON_HOST", "-Wno-unknown-pragmas", *compiler.COMMON_FLAGS],
        build_directory=str(folder),
        is_python_module=False,
    )
