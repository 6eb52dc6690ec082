import runpy
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from clips import one_line

from puffer_phc.config import ROOT
from puffer_phc.errors import InputError
from puffer_phc.motions import download as downloading
from puffer_phc.motions.cmu import Selection, check_amc, check_asf, download, parse_names
from puffer_phc.motions.download import Patience, fetch_all
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.loading import load_motions

QUICK = Patience(attempts=4, pause=0.01, timeout=2.0)
ASF = b"""# made up
:version 1.10
:name test
:units
  mass 1.0
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name leg
    direction 0 -1 0
    length 8
    axis 0 0 0 XYZ
    dof rx ry rz
    limits (-1 1)
  end
:hierarchy
  begin
    root leg
  end
"""


def amc(frames, value=1.0):
    lines = ["#!made up", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(1, frames + 1):
        lines += [str(frame), f"root 0 {value} 0 0 0 {frame}", f"leg {frame} 0 {value}"]
    return ("\n".join(lines) + "\n").encode()


class Server:
    """CMU's layout on this machine, with faults on demand.

    Attributes:
        files: content by path.
        faults: by path a list of what the next answers do: a status, "cut" (half of what was asked for, then the
            connection ends), "html", "slow", "chunked cut", "elsewhere" (a wrong Content-Range).
        asked: requests by path; ``ranges`` the Range headers.
    """

    def __init__(self):
        self.files, self.faults, self.asked, self.ranges = {}, {}, Counter(), []
        self.busy = self.most_busy = 0
        self.delay, self.resumes, self.tag = 0.0, True, ""
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/subjects"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, request):
        with self.lock:
            self.asked[request.path] += 1
            self.ranges += [request.headers["Range"]] if request.headers["Range"] else []
            fault = (self.faults.get(request.path) or [""]).pop(0)
            self.busy += 1
            self.most_busy = max(self.busy, self.most_busy)
        time.sleep(self.delay)
        try:
            self.send(request, fault)
        except OSError:
            pass  # the client gave up
        finally:
            with self.lock:
                self.busy -= 1

    def send(self, request, fault):
        content = self.files.get(request.path)
        if content is None or isinstance(fault, int):
            request.send_error(404 if content is None else fault)
            return
        if fault == "html":
            content = b"<html>please log in</html>"
        if fault == "slow":
            time.sleep(0.6)
        resumes = self.resumes and request.headers["If-Range"] in (None, self.tag)
        asked = request.headers["Range"] if resumes else None
        first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if first >= len(content) > 0:
            request.send_error(416)
            return
        body = content[first:]
        request.send_response(206 if asked else 200)
        if asked:
            start = 0 if fault == "elsewhere" else first
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.tag:
            request.send_header("ETag", self.tag)
        if fault != "chunked cut":
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) // 2] if "cut" in fault else body)


@pytest.fixture
def server():
    server = Server()
    server.files = {
        "/subjects/02/02.asf": ASF,
        "/subjects/02/02_01.amc": amc(400),
        "/subjects/02/02_02.amc": amc(300),
        "/subjects/02/": b'<a href="02_01.amc">02_01.amc</a> <a href="02_02.amc">x</a> <a href="02_02.avi">',
        "/subjects/88/88.asf": ASF,
        "/subjects/88/88_06.amc": amc(100),
    }
    yield server
    server.http.shutdown()
    server.http.server_close()


def test_names():
    assert parse_names(["02_01"]) == [Selection(2, (1,))]
    assert parse_names(["5_3-05", "02", "5_1", "02_07"]) == [Selection(2), Selection(5, (1, 3, 4, 5))]
    for names in ([], ["x"], ["02_"], ["02_05-01"], ["00_01"], ["02_00"], ["../02"], ["0202_01"]):
        with pytest.raises(InputError) as error:
            parse_names(names)
        one_line(error)


def test_what_is_fetched_can_be_loaded_at_the_right_rate(server, tmp_path):
    results = download(["02_01", "88_06"], tmp_path / "cmu", server.url + "/", patience=QUICK)
    assert [(result.fault, result.old) for result in results] == [("", False)] * 4
    assert (tmp_path / "cmu/02/02_01.amc").read_bytes() == amc(400)
    fast, slow = load_motions(tmp_path / "cmu")
    assert (fast.name, fast.num_frames, fast.fps) == ("02_02_01", 400, 120.0)
    assert (slow.name, slow.num_frames, slow.fps) == ("88_88_06", 100, 60.0)


def test_whole_subjects_are_listed_by_the_server(server, tmp_path):
    totals = []
    results = download(["02"], tmp_path, server.url, patience=QUICK, started=totals.append)
    assert totals == [3]
    assert [result.fetch.path.name for result in results] == ["02.asf", "02_01.amc", "02_02.amc"]
    with pytest.raises(InputError, match="name them, as in 88_01-10"):
        download(["88"], tmp_path, server.url, patience=QUICK)


def test_what_is_there_is_not_fetched_again_unless_it_is_damaged(server, tmp_path):
    download(["02_01", "02_02"], tmp_path, server.url, patience=QUICK)
    (tmp_path / "02/02_02.amc").write_bytes(amc(300)[:-30])
    (tmp_path / "02/motion.yaml").write_text("fps: 100\n")
    results = download(["02_01", "02_02"], tmp_path, server.url, patience=QUICK)
    assert [result.old for result in results] == [True, True, False]
    assert (tmp_path / "02/02_02.amc").read_bytes() == amc(300)
    assert (tmp_path / "02/motion.yaml").read_text() == "fps: 100\n"  # the user's
    assert server.asked["/subjects/02/02_01.amc"] == 1


def test_broken_connections_are_resumed(server, tmp_path):
    server.faults["/subjects/02/02_01.amc"] = ["cut", "cut"]
    (result,) = [r for r in download(["02_01"], tmp_path, server.url, patience=QUICK) if r.fetch.path.suffix == ".amc"]
    assert not result.fault
    assert (tmp_path / "02/02_01.amc").read_bytes() == amc(400)
    half = len(amc(400)) // 2
    assert server.ranges[0] == f"bytes={half}-"
    assert len(server.ranges) == 2
    assert not list(tmp_path.rglob("*.part"))


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server, tmp_path):
    server.faults["/subjects/02/02_01.amc"] = ["cut"]
    once = Patience(attempts=1, timeout=2.0)
    results = download(["02_01"], tmp_path, server.url, patience=once)
    assert "bytes came" in results[1].fault
    assert not (tmp_path / "02/02_01.amc").exists()
    assert (tmp_path / "02/02_01.amc.part").stat().st_size == len(amc(400)) // 2
    assert not download(["02_01"], tmp_path, server.url, patience=once)[1].fault
    assert (tmp_path / "02/02_01.amc").read_bytes() == amc(400)
    assert server.ranges == [f"bytes={len(amc(400)) // 2}-"]


@pytest.mark.parametrize(
    "left_over",
    [amc(500), b"x" * 100, amc(300, value=-2.75)[: len(amc(400)) // 2 + 3]],
    ids=["longer", "junk", "other"],
)
def test_a_part_of_something_else_does_no_harm(server, tmp_path, left_over):
    (tmp_path / "02").mkdir()
    (tmp_path / "02/02_01.amc.part").write_bytes(left_over)
    results = download(["02_01"], tmp_path, server.url, patience=QUICK)
    assert not results[1].fault
    assert (tmp_path / "02/02_01.amc").read_bytes() == amc(400)
    assert not list(tmp_path.rglob("*.part*"))


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(server, tmp_path):
    server.tag = '"old"'
    server.faults["/subjects/02/02_01.amc"] = ["cut"]
    once = Patience(attempts=1, timeout=2.0)
    download(["02_01"], tmp_path, server.url, patience=once)
    server.tag, server.files["/subjects/02/02_01.amc"] = '"new"', amc(400, value=2.0)
    assert not download(["02_01"], tmp_path, server.url, patience=once)[1].fault
    assert (tmp_path / "02/02_01.amc").read_bytes() == amc(400, value=2.0)
    assert not list(tmp_path.rglob("*.part*"))


@pytest.mark.parametrize("faults", [["cut"], ["cut", "elsewhere"]])
def test_servers_that_cannot_resume(server, tmp_path, faults):
    server.faults["/subjects/02/02_01.amc"] = list(faults)
    server.resumes = "elsewhere" in faults
    results = download(["02_01"], tmp_path, server.url, patience=QUICK)
    assert not results[1].fault
    assert (tmp_path / "02/02_01.amc").read_bytes() == amc(400)


@pytest.mark.parametrize(
    "faults", [[500], [503, 429], ["slow"], ["html"], ["chunked cut"], ["html", "cut", 502]], ids=str
)
def test_passing_faults_are_overcome(server, tmp_path, faults):
    server.faults["/subjects/02/02_01.amc"] = list(faults)
    results = download(["02_01"], tmp_path, server.url, patience=Patience(4, 0.01, 0.4))
    assert not results[1].fault
    assert (tmp_path / "02/02_01.amc").read_bytes() == amc(400)


def test_lasting_faults_are_told_and_stop_nothing_else(server, tmp_path):
    server.files["/subjects/02/02_03.amc"] = b"<html>moved</html>"
    server.faults["/subjects/02/02_02.amc"] = [500] * 9
    results = download(["02_01-04"], tmp_path, server.url, patience=QUICK)
    told = {result.fetch.path.name: result.fault for result in results}
    assert told["02.asf"] == told["02_01.amc"] == ""
    assert "500" in told["02_02.amc"]
    assert told["02_03.amc"] == "it is no AMC motion"
    assert "404" in told["02_04.amc"]
    assert server.asked["/subjects/02/02_04.amc"] == 1  # asking again would be rude
    assert server.asked["/subjects/02/02_02.amc"] == 4
    assert {path.name for path in (tmp_path / "02").iterdir()} == {"02.asf", "02_01.amc", "motion.yaml"}


def test_four_at_a_time(server, tmp_path):
    for trial in range(1, 13):
        server.files[f"/subjects/02/02_{trial:02d}.amc"] = amc(20)
    server.delay = 0.05
    seen = []
    results = download(["02_01-12"], tmp_path, server.url, patience=QUICK, progress=seen.append)
    assert seen == results
    assert not any(result.fault for result in results)
    assert 2 <= server.most_busy <= 4


def test_no_server(tmp_path):
    results = download(["02_01"], tmp_path, "http://127.0.0.1:9", patience=Patience(2, 0.01, 0.5))
    assert all("no connection" in result.fault for result in results)


def test_endless_answers_are_cut_off(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "MAX_BYTES", 1000)
    results = download(["02_01"], tmp_path, server.url, patience=QUICK)
    assert "larger than" in results[1].fault
    server.faults["/subjects/02/02_02.amc"] = ["chunked cut"]
    assert "larger than" in download(["02_02"], tmp_path, server.url, patience=QUICK)[1].fault


def test_wrong_options(tmp_path, server):
    for url in ("file:///etc", "ftp://x/y", "mocap.cs.cmu.edu", ""):
        with pytest.raises(InputError, match="--base-url"):
            download(["02_01"], tmp_path, url)
    with pytest.raises(InputError, match="--parallel"):
        download(["02_01"], tmp_path, server.url, parallel=0)
    (tmp_path / "file").touch()
    results = download(["02_01"], tmp_path / "file", server.url, patience=QUICK)
    assert all("cannot be written" in result.fault for result in results)
    assert fetch_all([]) == []


def test_checks_know_real_files(shared_data, tmp_path):
    folder = shared_data / "formats" / "single"
    assert check_asf(folder / "02.asf") == check_amc(folder / "02_01.amc") == ""
    whole = (folder / "02_01.amc").read_bytes()
    part = tmp_path / "part.amc"
    for cut in (1, 2, 10, 100, 300, len(whole) // 2):
        part.write_bytes(whole[:-cut])
        assert check_amc(part) or whole[:-cut].endswith(b"\n"), cut
    lines = whole.splitlines(keepends=True)
    part.write_bytes(b"".join(lines[: len(lines) // 2] + lines[len(lines) // 2 + 1 :]))
    assert check_amc(part)
    assert check_amc(folder / "02.asf")
    assert check_asf(folder / "02_01.amc")


def test_script(monkeypatch, capsys, server, tmp_path):
    script = ROOT / "scripts" / "download_cmu.py"

    def run(*arguments):
        flags = ["--out", tmp_path / "cmu", "--base-url", server.url, "--attempts", 1]
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, (*arguments, *flags))])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(script), run_name="__main__")
        return end.value.code

    assert run("02_01-02") == 0
    assert "3 files fetched, 0 were there" in capsys.readouterr().out
    assert run("02_01-03") == 2
    told = capsys.readouterr()
    assert "0 files fetched, 3 were there" in told.out
    assert "1 of 4 files could not be fetched" in told.err
    assert told.err.count("\n") == 1
    assert run("nonsense") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_facts_noted_are_those_of_real_files(shared_data, tmp_path, server):
    folder = shared_data / "formats" / "single"
    server.files["/subjects/02/02.asf"] = (folder / "02.asf").read_bytes()
    server.files["/subjects/02/02_01.amc"] = (folder / "02_01.amc").read_bytes()
    download(["02_01"], tmp_path, server.url, patience=QUICK)
    (noted,) = load_motions(tmp_path / "02" / "02_01.amc")
    (proven,) = load_motions(folder / "02_01.amc", SourceOptions(fps=120.0))
    assert noted.fps == 120.0
    assert (noted.root_pos == proven.root_pos).all()
    assert (noted.local_rot == proven.local_rot).all()
