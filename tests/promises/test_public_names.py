"""One list of public names: what type checkers read is what is loaded when it is first asked for."""

import inspect
import subprocess
import sys

import overlay
from overlay.public_names import HOMES
from tools import public_names


def test_the_tables_are_what_the_lists_give(capsys):
    assert public_names.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_a_name_that_is_missing_from_a_table_is_said(tmp_path, monkeypatch, capsys):
    package = tmp_path / "package"
    package.mkdir()
    listed = "if TYPE_CHECKING:\n    from package.deep.module import Name as Name\n"
    (package / "__init__.py").write_text(listed)
    monkeypatch.setattr(public_names, "PROJECT", tmp_path)
    monkeypatch.setattr(public_names, "PACKAGES", (package,))
    assert public_names.main(["--check"]) == 1
    assert capsys.readouterr().err == "package/public_names.py is out of date: run `make format`\n"
    assert public_names.main([]) == 0
    assert '    "Name": "deep.module",\n' in (package / "public_names.py").read_text()
    assert public_names.main(["--check"]) == 0


def test_each_name_is_loaded_from_where_it_is_defined():
    for name, home in HOMES.items():
        value = getattr(overlay, name)
        if isinstance(value, type) or inspect.isfunction(value):  # and no type alias
            assert value.__module__ == f"overlay.{home}", name


def test_python_m_overlay_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "overlay", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"overlay {overlay.__version__}\n"
