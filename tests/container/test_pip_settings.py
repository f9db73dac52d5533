"""Which settings of pip reach a build, and which paths are mounted for them."""

from __future__ import annotations

from pathlib import Path

from tests.container import pip_settings


def test_the_environment_wins_over_files_and_the_rest_is_left_out() -> None:
    listing = "\n".join(
        [
            ":env:.timeout='9'",
            "global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'",
            "global.index-url='https://c.example/simple'",
            "global.disable-pip-version-check='1'",
            "freeze.timeout='10'",
        ]
    )
    assert pip_settings.parse(listing) == {
        "timeout": "9",
        "extra-index-url": "https://a.example/simple\nhttps://b.example/simple",
        "index-url": "https://c.example/simple",
    }


def test_files_and_folders_that_exist_are_mounted_where_they_are(tmp_path: Path) -> None:
    certificate, index = tmp_path / "ca.pem", tmp_path / "mirror/simple"
    certificate.touch()
    index.mkdir(parents=True)
    settings = {
        "cert": str(certificate),
        "extra-index-url": f"https://a.example/simple\nfile://{index}",
        "find-links": "/nowhere/at/all",
    }
    file = tmp_path / "pip.conf"
    assert pip_settings.volumes(settings, file) == (
        f"{file}:/etc/pip.conf:ro",
        f"{certificate}:{certificate}:ro",
        f"{index.parent}:{index.parent}:ro",
    )
    assert f"  file://{index}\n" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
