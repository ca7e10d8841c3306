"""The command line: settings and configuration tests, with their exit statuses and messages."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.standin.standin_process import ADDRESS, PROJECT, MakeStandin, every_major
from tests.until import until


@every_major
def test_a_good_configuration_passes_the_test(make_standin: MakeStandin, version: str) -> None:
    done = make_standin(version).run("-t")
    assert (done.returncode, "Configuration OK\n" in done.stdout) == (0, True)
    assert "this is the lab's stand-in" in done.stdout


def test_a_syntax_error_fails_the_test_with_its_position(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.configure("input { udp { port = 5514 } }")
    done = standin.run("-t")
    assert done.returncode == 1
    message = (
        'Expected one of [ \\t\\r\\n], "#", "=>" at line 1, column 20 (byte 20) after input { udp { port '
    )
    reason = f"The given configuration is invalid. Reason: {message}"
    assert f"[FATAL][logstash.runner          ] {reason}" in done.stdout


def test_a_missing_configuration_passes_the_test_but_ends_a_start(make_standin: MakeStandin) -> None:
    standin = make_standin()
    (standin.folder / "conf.d/pipeline.conf").unlink()
    test, start = standin.run("-t"), standin.run()
    message = "[ERROR][logstash.config.sourceloader] No configuration found in the configured sources."
    assert (test.returncode, message in test.stdout) == (0, True)
    assert (start.returncode, message in start.stdout) == (1, True)


def test_a_wrong_configuration_ends_a_start(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.configure("input { udp { } }")
    done = standin.run()
    assert done.returncode == 1
    assert "Failed to execute action {:id=>:main" in done.stdout


def test_an_unknown_setting_is_refused(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.settings["nosuch.thing"] = 1
    standin.write_settings()
    done = standin.run("-t")
    assert done.returncode == 1
    assert "Setting \"nosuch.thing\" doesn't exist. Please check if you haven't made a typo." in done.stderr


def test_a_setting_given_by_both_of_its_names_is_refused(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.settings |= {"http.host": ADDRESS, "api.http.host": ADDRESS}
    standin.write_settings()
    done = standin.run("-t")
    assert done.returncode == 1
    assert "Both `api.http.host` and its deprecated alias `http.host` have been set." in done.stderr


def test_settings_are_read_from_nested_keys_and_from_the_environment(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.settings = {
        "path": {"data": "${DATA}", "logs": str(standin.folder / "logs")},
        "api": {"http": {"port": "${PORT:1}"}},
    }
    standin.environment |= {"DATA": str(standin.folder / "elsewhere"), "PORT": str(standin.port)}
    standin.write_settings()
    standin.start()
    assert standin.get("/")[0] == 200
    assert (standin.folder / "elsewhere/uuid").read_text() == standin.get("/")[1]["id"]


def test_pipelines_yml_is_ignored_with_f_and_e(make_standin: MakeStandin) -> None:
    standin = make_standin()
    (standin.folder / "pipelines.yml").write_text("not: a list\n")
    assert standin.run("-t").returncode == 1
    other = standin.folder / "other.conf"
    other.write_text("input { stdin { } } output { stdout { codec => json_lines } }")
    for source in (("-f", str(other)), ("-e", other.read_text())):
        done = standin.run(*source, stdin="hello\n")
        assert done.returncode == 0
        assert '"message":"hello"' in done.stdout
        assert "Ignoring the 'pipelines.yml' file" in done.stdout
    assert standin.run("-f", str(other), "-e", "").returncode == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Failed to read pipelines yaml file."),
        ("", "Pipelines YAML file is empty."),
        ("a: b", 'Pipelines YAML file must contain an array of pipeline configs. Found "Hash"'),
        (
            "- pipeline.id: a\n  api.http.port: 1",
            'Only pipeline related settings are expected. Received "api.http.port"',
        ),
    ],
)
def test_a_wrong_pipelines_yml_is_refused(
    make_standin: MakeStandin, content: str | None, message: str
) -> None:
    standin = make_standin()
    path = standin.folder / "pipelines.yml"
    path.unlink() if content is None else path.write_text(content)
    done = standin.run("-t")
    assert done.returncode == 1
    assert message in done.stdout + done.stderr


def test_the_command_line_wins_over_the_file(make_standin: MakeStandin) -> None:
    standin = make_standin().launch("--node.name", "mine", "--log.level=error")
    until(lambda: standin.get("/")[0])
    assert standin.get("/")[1]["name"] == "mine"
    assert standin.log() == ""


def test_an_unknown_flag_is_refused(make_standin: MakeStandin) -> None:
    done = make_standin().run("--nosuch")
    assert done.returncode == 1
    assert "ERROR: " in done.stderr


def test_a_heap_that_java_would_refuse_ends_the_start(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.environment["LS_JAVA_OPTS"] = "-Xmx4x"
    done = standin.run("-t")
    assert done.returncode == 1
    assert (
        "Invalid maximum heap size: -Xmx4x\nError: Could not create the Java Virtual Machine." in done.stderr
    )


@pytest.mark.parametrize(
    ("version", "java", "status"),
    [
        ("6.8.23", False, 1),
        ("6.8.23", True, 0),
        ("7.9.3", False, 1),
        ("7.17.29", False, 0),
        ("8.19.18", False, 0),
    ],
)
def test_versions_that_bundle_no_java_need_one(tmp_path: Path, version: str, java: bool, status: int) -> None:
    home, path = tmp_path / "logstash", tmp_path / "path"
    shutil.copytree(PROJECT / "lab/standin/root/usr/share/logstash/bin", home / "bin")
    shutil.copytree(PROJECT / "lab/standin/logstash_standin", home / "lib/logstash_standin")
    (home / "vendor").symlink_to(Path(yaml.__file__).parents[1])
    (home / "VERSION").write_text(f"{version}\n")
    path.mkdir()
    for tool in ("cat", "dirname", "readlink"):
        (path / tool).symlink_to(str(shutil.which(tool)))
    if java:
        (path / "java").symlink_to("/bin/true")
    done = subprocess.run(
        [home / "bin/logstash", "--version"], env={"PATH": str(path)}, capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    assert ("could not find java; set JAVA_HOME" in done.stderr) == (status == 1)


def test_the_packaged_tree_runs_from_any_folder(tmp_path: Path) -> None:
    """The launcher finds the package, its libraries and the version wherever the tree is."""
    import logstash_pipeline_parser
    import pyparsing
    import yaml

    shutil.copytree(PROJECT / "lab/standin/root", tmp_path, dirs_exist_ok=True)
    home = tmp_path / "usr/share/logstash"
    shutil.copytree(PROJECT / "lab/standin/logstash_standin", home / "lib/logstash_standin")
    (home / "vendor").mkdir()
    for module in (logstash_pipeline_parser, pyparsing, yaml):
        assert module.__file__
        shutil.copytree(Path(module.__file__).parent, home / "vendor" / module.__name__)
    (home / "VERSION").write_text("7.17.29\n")
    link = tmp_path / "logstash"
    link.symlink_to(home / "bin/logstash")
    for command in (home / "bin/logstash", link):
        done = subprocess.run(
            [command, "--version"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, "logstash 7.17.29\n")
        assert "stand-in" in done.stderr
    settings = (tmp_path / "etc/logstash/logstash.yml").read_text()
    for folder in ("/var/lib/logstash", "/var/log/logstash"):
        settings = settings.replace(folder, f"{tmp_path}{folder}")
    (tmp_path / "etc/logstash/logstash.yml").write_text(settings)
    done = subprocess.run(
        [link, "--path.settings", tmp_path / "etc/logstash", "-t", "-e", ""],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "Configuration OK\n" in done.stdout) == (0, True)
    assert (tmp_path / "var/log/logstash/logstash-plain.log").exists()
