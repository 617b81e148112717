"""Each header includes what it needs: it compiles as the only one of its file. Builds where one file
includes all others would not notice."""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ["protocol", "protocol/session", "socks5", "http", "protocol/link", "protocol/link/*", "protocol/program",
           "client", "server"]
COMPILER = shutil.which(os.environ.get("CXX", "c++"))
DEFINITIONS = ["-DBOOST_ASIO_NO_DEPRECATED", "-DBOOST_ASIO_DISABLE_BOOST_COROUTINE", "-DSPDLOG_FMT_EXTERNAL"]


def headers(folders):
    return sorted(path for folder in folders for path in ROOT.glob(f"{folder}/*.hpp"))


def faults(paths):
    """What the compiler says of each that does not compile alone."""
    def compile_alone(path):
        done = subprocess.run([COMPILER, "-std=c++20", "-fsyntax-only", *DEFINITIONS, f"-I{ROOT}", "-x", "c++", "-"],
                              input=f'#include "{path}"\n', capture_output=True, text=True, check=False)
        return f"{path.name}:\n{done.stderr[:1000]}" if done.returncode else None

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [fault for fault in pool.map(compile_alone, paths) if fault]


@pytest.mark.skipif(not COMPILER, reason="no C++ compiler")
@pytest.mark.skipif(not os.environ.get("MUXSOCKS_LONG"), reason="takes minutes: MUXSOCKS_LONG=1")
def test_each_header_compiles_alone():
    assert not faults(headers(FOLDERS))


@pytest.mark.skipif(not COMPILER, reason="no C++ compiler")
def test_a_header_that_needs_another_is_found(tmp_path):
    lacking = tmp_path / "lacking.hpp"
    lacking.write_text("#pragma once\ninline std::string text() { return {}; }\n")
    assert "lacking.hpp" in faults([lacking])[0]
