"""Who may see the page and change something by it: this machine, whoever has the key, and no other site."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from flows.page.app import Tries, serve_page
from flows.services import processes, servers
from model.serving.connections import AddressError
from tasks.stage.store.store import Store
from tasks.stage.store.verdicts import approvals, subject_of
from tests.flows.cli.command import ROOT
from tests.flows.page.test_decisions import judged
from tests.flows.page.visiting import ADDRESS, seen, send, visitor
from tests.flows.services.test_servers import free_port
from tests.tasks.reporting.example_run import HOSTILE

KEY = "k" * 24


def test_every_answer_forbids_what_the_page_does_not_need(store: Store, home: Path) -> None:
    browser = visitor(store, home)
    for address in ("/", "/nowhere", "/page.css", "/live.js", "/health", "/runs/none"):
        headers = browser.get(address).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy, address
        assert (headers["X-Content-Type-Options"], headers["X-Frame-Options"]) == ("nosniff", "DENY")
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("host", ["127.0.0.1:4400", "localhost", "LOCALHOST.:80", "[::1]:4400"])
def test_without_a_key_this_machine_is_served_by_its_own_names(store: Store, home: Path, host: str) -> None:
    assert visitor(store, home).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:4400", "localhost.evil.example", "", "10.0.0.1"])
def test_a_site_whose_name_is_made_to_point_here_learns_nothing(store: Store, home: Path, host: str) -> None:
    answer = visitor(store, home).get("/", headers={"Host": host})
    assert answer.status_code == 403
    assert "folio</a>" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:4401"},
        {"Origin": "http://127.0.0.1:4400.evil.example"},
        {"Origin": ADDRESS, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_a_form_that_another_site_sends_is_refused(store: Store, home: Path, headers: dict[str, str]) -> None:
    for key in (None, KEY):
        answer = visitor(store, home, key).post("/sign-in", data={"key": KEY}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_beyond_this_machine_a_visitor_signs_in_and_is_led_back_to_what_was_asked(store: Store, home: Path) -> None:
    browser = visitor(store, home, KEY, "http://folio.lan:4400")
    asked = browser.get("/?recipe=a%26b")
    assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=%2F%3Frecipe%3Da%2526b")
    form = seen(browser, asked.headers["location"])
    sent = {attributes["name"]: attributes.get("value", "") for tag, attributes in form.tags if tag == "input"}
    status, page, _ = send(browser, "/sign-in", {**sent, "name": "Ada", "key": "wrong" * 5}, "http://folio.lan:4400")
    assert (status, "That is not the key" in page.text) == (401, True)
    answer = browser.post("/sign-in", data={**sent, "name": "Ada", "key": KEY}, headers={"Origin": "http://folio.lan:4400"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?recipe=a%26b")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and KEY not in cookie
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize("onward", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "evil", ""])
def test_signing_in_leads_nowhere_else(store: Store, home: Path, onward: str) -> None:
    assert send(visitor(store, home, KEY), "/sign-in", {"name": "Ada", "key": KEY, "next": onward})[2] == "/"


def test_a_cookie_of_another_server_or_none_opens_nothing(store: Store, home: Path) -> None:
    first, second = visitor(store, home, KEY), visitor(store, home, KEY)
    send(first, "/sign-in", {"name": "Ada", "key": KEY})
    second.cookies = first.cookies
    assert second.get("/").status_code == 303
    assert visitor(store, home, KEY).get("/", headers={"Cookie": "folio_page=; x=1"}).status_code == 303
    assert visitor(store, home, KEY).post("/nowhere", headers={"Origin": ADDRESS}).status_code == 401


def test_wrong_keys_make_an_address_wait_longer_each_time_and_no_other_address() -> None:
    seconds = [0.0]
    tries = Tries(clock=lambda: seconds[0])
    for _ in range(Tries.FREE):
        assert tries.wait("10.0.0.1") == 0
        tries.record("10.0.0.1", right=False)
    waits = []
    for _ in range(12):
        waits.append(tries.wait("10.0.0.1"))
        seconds[0] += waits[-1]
        tries.record("::ffff:10.0.0.1", right=False)
    assert waits[:4] == [1, 2, 4, 8] and max(waits) < Tries.LONGEST + 1
    assert tries.wait("10.0.0.2") == 0
    seconds[0] += Tries.LONGEST
    tries.record("10.0.0.1", right=False)
    assert tries.wait("10.0.0.1") == 0, "an old mistake is forgotten"
    for _ in range(Tries.FREE):
        tries.record("2001:db8::1", right=False)
    assert tries.wait("2001:db8::2") > 0, "one visitor has a whole network of addresses"
    for number in range(2 * Tries.MOST):
        tries.record(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", right=False)
    assert len(tries._wrong) == Tries.MOST


def test_a_visitor_who_guesses_is_told_to_wait_and_the_right_key_does_not_help(store: Store, home: Path) -> None:
    browser = visitor(store, home, KEY)
    for number in range(Tries.FREE):
        if number % 2:
            assert browser.get("/", headers={"Authorization": "Bearer guessed"}).status_code == 303
        else:
            assert send(browser, "/sign-in", {"name": "Eve", "key": "guessed"})[0] == 401
    status, page, _ = send(browser, "/sign-in", {"name": "Eve", "key": KEY})
    assert status == 429 and "Try again in 1 seconds" in page.text
    assert browser.get("/", headers={"Authorization": f"Bearer {KEY}"}).status_code == 429


def test_the_name_of_a_sign_in_is_who_judges_and_decides_whatever_a_form_says(store: Store, home: Path) -> None:
    verdict = judged(store)
    browser = visitor(store, home, KEY)
    assert send(browser, "/sign-in", {"name": " ", "key": KEY})[0] == 400
    assert send(browser, "/sign-in", {"name": HOSTILE, "key": KEY})[0] == 303
    page = seen(browser, "/decisions")
    assert " ".join(HOSTILE.split()) in page.text
    assert not [tag for tag, attributes in page.tags if attributes.get("name") == "who"]
    send(browser, "/decisions", {"subject": subject_of(verdict), "approved": "yes", "who": "Bob", "reason": "good"})
    assert [given.who for given in approvals(store)] == [HOSTILE]


def test_a_program_shows_the_key_as_it_does_to_a_server_of_models(store: Store, home: Path) -> None:
    browser = visitor(store, home, KEY)
    assert browser.get("/", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert browser.get("/", headers={"Authorization": f"Bearer {KEY[1:]}"}).status_code == 303


def test_a_form_of_any_length_takes_no_memory(store: Store, home: Path) -> None:
    assert visitor(store, home).post("/sign-in", content=b"x" * (1 << 19), headers={"Origin": ADDRESS}).status_code == 413


def test_what_is_not_there_and_what_fails_is_said_in_words(store: Store, home: Path) -> None:
    browser = visitor(store, home)
    assert "There is no /nowhere<b> here." in seen(browser, "/nowhere<b>", 404).text
    assert "There is no /runs/../../secret here." in seen(browser, "/runs/..%2F..%2Fsecret", 404).text
    assert "has no run 'none'" in seen(browser, "/runs/none", 404).text
    assert browser.request("DELETE", "/", headers={"Origin": ADDRESS}).status_code == 405


def test_an_address_beyond_this_machine_needs_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    monkeypatch.delenv("FOLIO_SERVE_KEY", raising=False)
    with pytest.raises(AddressError, match="there is no key"):
        serve_page("0.0.0.0", 0, None, "", print)


def test_folio_open_starts_the_page_of_a_clean_home_on_loopback_alone_and_down_ends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    monkeypatch.setenv("FOLIO_PAGE_PORT", str(free_port()))
    monkeypatch.setenv("BROWSER", "true %s")
    command = [sys.executable, "-m", "flows.cli.app"]
    address = servers.folio_page().page
    try:
        for _ in range(2):
            opened = subprocess.run([*command, "open"], capture_output=True, text=True, cwd=ROOT, check=True)
            assert opened.stdout == f"folio page: {address}\n"
        assert "Nothing ran yet" in httpx.get(address).text
        (server,) = processes.started().values()
        held = [one for one in psutil.Process(server.pid).net_connections("inet") if one.status == psutil.CONN_LISTEN]
        assert [one.laddr.ip for one in held] == ["127.0.0.1"]
        monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "other"))
        with pytest.raises(servers.ServiceError, match="FOLIO_PAGE_PORT=<port>"):
            servers.ensure_page()
        monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    finally:
        assert processes.stop() == ["folio page"]
    assert not servers.is_listening(servers.folio_page())


def test_the_page_needs_neither_mlflow_nor_prefect_nor_torch(tmp_path: Path) -> None:
    made = f"make_app({str(tmp_path / 'store')!r}, Path({str(tmp_path)!r}))"
    loaded = "print(sorted({'mlflow', 'prefect', 'torch'} & set(sys.modules)))"
    program = f"import sys\nfrom pathlib import Path\nfrom flows.page.app import Tries, make_app\n{made}\n{loaded}"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True).stdout == "[]\n"
