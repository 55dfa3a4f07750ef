"""The chat page: what it may do, and in a real browser what it does."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.inference.chat_format import ChatFormat
from model.networks.decoder import Decoder
from model.serving.app import page
from tests.model.serving.hostile_media import picture_file, tone
from tests.model.serving.running import LIMITS, own_model, serving
from tests.model.serving.scripted import HOSTILE, RICH, ScriptedModel

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
browsing = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def test_the_page_is_one_file_that_asks_this_server_alone(address: str) -> None:
    answer = httpx.get(f"{address}/")
    policy = answer.headers["Content-Security-Policy"]
    assert answer.text == page()[0] and "'unsafe" not in policy and "default-src 'none'" in policy and "connect-src 'self'" in policy
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", answer.text.split("<script>")[0])
    assert answer.headers["X-Frame-Options"] == "DENY" and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "innerHTML" not in answer.text and "eval(" not in answer.text


# A document without a window, and its text. Printed for each case: the milliseconds that it took, and the characters that it shows.
WITHOUT_A_WINDOW = """
class Element {
  constructor() { this.parts = []; this.lastElementChild = null; }
  append(...parts) { for (const part of parts) { this.parts.push(part); if (part instanceof Element) this.lastElementChild = part; } }
  set textContent(text) { this.parts = [text]; }
  get text() { return this.parts.map((part) => (part instanceof Element ? part.text : part)).join(""); }
}
globalThis.document = { createElement: () => new Element(), createDocumentFragment: () => new Element(), createTextNode: (text) => text };
"""
NESTED = {
    "quotes": '">".repeat(50000) + " deep"',
    "quotes of quotes": 'Array.from({ length: 1500 }, (_, depth) => "> ".repeat(depth) + "deep").join("\\n")',
    "lists of lists": 'Array.from({ length: 2000 }, (_, depth) => " ".repeat(depth) + "- deep").join("\\n")',
    "bold in bold": '"**__".repeat(5000) + "deep" + "__**".repeat(5000)',
    "bold without an end": '"__a ".repeat(20000) + "deep"',
    "stars without an end": '"*a ".repeat(20000) + "deep"',
    "links without an end": '"[a](".repeat(20000) + "deep"',
}


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
@pytest.mark.parametrize("name", NESTED)
def test_text_that_is_nested_by_thousands_or_never_closed_is_shown_and_ends_no_script(name: str) -> None:
    script = (Path(str(files("model.serving.page"))) / "markdown.js").read_text(encoding="utf-8")
    asked = (
        f"const began = Date.now(); const shown = markdown({NESTED[name]}).text; console.log(Date.now() - began, shown.includes('deep'))"
    )
    ran = subprocess.run(["node", "-e", WITHOUT_A_WINDOW + script + asked], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr[-500:]
    milliseconds, whole = ran.stdout.split()
    assert whole == "true" and int(milliseconds) < 10_000


@pytest.fixture
def models(decoder: Decoder, chat_format: ChatFormat) -> list[Any]:
    return [
        own_model(decoder, chat_format),
        ScriptedModel("rich", RICH),
        ScriptedModel("hostile", HOSTILE),
        ScriptedModel("slow", "word " * 500, 0.05),
        ScriptedModel("sighted", "A dark corner.", abilities=("pictures",)),
        ScriptedModel("listening", "A tone that rises.", abilities=("sounds",)),
    ]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any, models: list[Any]) -> Iterator[Any]:
    """A page with nothing said yet. It may write no error on the console and ask nothing outside."""
    with serving(models, LIMITS) as address:
        context = browser.new_context(viewport={"width": 1100, "height": 800})
        tab = context.new_page()
        wrong: list[str] = []
        # A refused request is an error on the console too; the page tells it to the person.
        tab.on(
            "console", lambda message: wrong.append(message.text) if message.type == "error" and "status of 4" not in message.text else None
        )
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda request: None if request.url.startswith(address) else wrong.append(request.url))
        tab.goto(address)
        tab.wait_for_selector(".pane select")
        yield tab
        context.close()
        assert not wrong


def choose(tab: Any, name: str, pane: int = 0) -> None:
    tab.locator(".pane select").nth(pane).select_option(name)


def ask(tab: Any, text: str) -> None:
    tab.fill("#question", text)
    tab.press("#question", "Enter")


def wait_until(tab: Any, true: Callable[[], bool]) -> None:
    """Wait from outside: the page's policy forbids a condition to be evaluated in it."""
    for _ in range(600):
        if true():
            return
        tab.wait_for_timeout(50)
    raise AssertionError("it did not come")


def ended(tab: Any, count: int = 1) -> None:
    wait_until(tab, lambda: tab.locator(".foot button").count() >= count and tab.locator("#send").is_enabled())


@pytest.mark.slow
@browsing
def test_a_conversation_goes_on_and_says_what_the_model_is(tab: Any, models: list[Any]) -> None:
    choose(tab, "rich")
    tab.click(".about summary")
    wait_until(tab, lambda: "of known making" in tab.locator(".about pre").inner_text())
    tab.click("#show-settings")
    tab.fill("#temperature", "0.3")
    tab.fill("#seed", "11")
    tab.fill("#system", "Be brief.")
    ask(tab, "One?")
    ended(tab)
    ask(tab, "Two?")
    ended(tab, 2)
    last = models[1].asked[-1]
    assert (last.temperature, last.seed) == (0.3, 11)
    assert [message.role for message in last.messages] == ["system", "user", "assistant", "user"]
    assert "<think>" not in last.messages[2].plain["content"]
    tab.screenshot(path=Path(os.environ.get("FOLIO_SCREENSHOTS", "/tmp")) / "folio-chat.png")


QUESTION = "Who is <b>Ada</b>? \u202e" + "w" * 100


@pytest.mark.slow
@browsing
@pytest.mark.parametrize("width", [1100, 390])
def test_the_page_opens_with_what_the_model_is_and_questions_that_a_press_asks_as_the_terminal_does(
    tab: Any, models: list[Any], width: int
) -> None:
    scripted = models[2]
    scripted.about = replace(scripted.about, summary=f"hostile: {HOSTILE}", questions=(QUESTION, "And then?"))
    tab.set_viewport_size({"width": width, "height": 800})
    choose(tab, "hostile")
    wait_until(tab, lambda: tab.locator(".introduction button").count() == 2)
    assert (
        "<img src=x" in tab.locator(".introduction").inner_text() and tab.locator(".messages :is(img, script, iframe, svg, b)").count() == 0
    )
    assert tab.evaluate("document.documentElement.scrollWidth") == width and tab.locator("header").bounding_box()["height"] < 60
    tab.get_by_role("button", name="Who is").click()
    ended(tab)
    assert not tab.locator(".introduction").is_visible()
    (message,) = scripted.asked[-1].messages
    assert message.plain["content"] == QUESTION and scripted.asked[-1].temperature == 0
    tab.get_by_role("button", name="New conversation").click()
    assert tab.locator(".introduction").is_visible()
    choose(tab, "rich")
    wait_until(tab, lambda: tab.locator(".introduction").inner_text() == "rich: a scripted model")


@pytest.mark.slow
@browsing
def test_markdown_is_shown_as_it_is_meant_and_thinking_is_folded(tab: Any) -> None:
    choose(tab, "rich")
    ask(tab, "Show me.")
    ended(tab)
    text = tab.locator(".text")
    assert text.locator("strong").inner_text() == "Bold" and text.locator("ol > li").count() == 2
    assert text.locator("table td").first.inner_text() == "Ada" and "walked" in text.locator("pre code").inner_text()
    assert text.locator("a").get_attribute("href") == "https://example.org/x_y"
    assert "Two parts" not in text.inner_text() and not tab.locator(".thinking").is_visible()
    tab.click("details:not(.about) summary")
    assert "Two parts" in tab.locator(".thinking").inner_text()


@pytest.mark.slow
@browsing
def test_hostile_output_is_text(tab: Any) -> None:
    choose(tab, "hostile")
    ask(tab, "<b>mine</b><script>document.title='taken'</script>")
    ended(tab)
    tab.wait_for_timeout(300)
    assert tab.title() == "folio: chat"
    assert (
        tab.locator(".messages :is(img, script, iframe, svg, b)").count() == 0 and tab.locator(".text a:not([href^='http'])").count() == 0
    )
    assert "<img src=x onerror=" in tab.locator(".text").inner_text() and "<b>mine</b>" in tab.locator(".user").inner_text()


@pytest.mark.slow
@browsing
@pytest.mark.parametrize("how", ["Escape", "button"])
def test_a_reply_streams_and_stops_when_it_is_told_to(tab: Any, models: list[Any], how: str) -> None:
    choose(tab, "slow")
    before = models[3].cancelled
    ask(tab, "Go on.")
    wait_until(tab, lambda: len("".join(tab.locator(".text").all_inner_texts())) > 20)
    if how == "Escape":
        tab.keyboard.press("Escape")
    else:
        tab.click("#stop-all")
    ended(tab)
    assert "stopped" in tab.locator(".foot").inner_text() and len(tab.locator(".text").inner_text()) < 2000
    tab.wait_for_timeout(300)
    assert models[3].cancelled == before + 1


@pytest.mark.slow
@browsing
def test_a_conversation_that_is_begun_while_a_reply_is_written_holds_nothing_of_it(tab: Any, models: list[Any]) -> None:
    choose(tab, "slow")
    ask(tab, "Go on.")
    wait_until(tab, lambda: len("".join(tab.locator(".text").all_inner_texts())) > 20)
    tab.click("#fresh")
    wait_until(tab, lambda: tab.locator("#send").is_enabled())
    choose(tab, "rich")
    ask(tab, "Who?")
    ended(tab)
    assert [message.plain["content"] for message in models[1].asked[-1].messages] == ["Who?"]


@pytest.mark.slow
@browsing
def test_a_comparison_that_is_ended_while_both_write_leaves_one_reply(tab: Any) -> None:
    choose(tab, "slow")
    tab.click("#compare")
    choose(tab, "slow", 1)
    ask(tab, "Go on.")
    wait_until(tab, lambda: len("".join(tab.locator(".text").all_inner_texts())) > 20)
    tab.click("#compare")
    tab.click("#stop-all")
    ended(tab)
    wait_until(tab, lambda: "slow: word" in (tab.locator("#spoken").text_content() or ""))
    assert tab.locator(".pane").count() == 1


# Drops or pastes a file of this name, type and base64 on the page.
DROP = """([how, name, kind, body]) => {
  const given = new DataTransfer();
  given.items.add(new File([Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0))], name, { type: kind }));
  const event = how === "drop" ? new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: given, bubbles: true, cancelable: true });
  document.getElementById("question").dispatchEvent(event);
}"""


@pytest.mark.slow
@browsing
def test_a_picture_is_chosen_dropped_or_pasted_and_asked_about(tab: Any, models: list[Any]) -> None:
    sighted, body = models[4], base64.b64encode(picture_file(size=(60, 40))).decode()
    choose(tab, "rich")
    assert not tab.locator("#add-file").is_visible()
    tab.locator("#question").evaluate(f"(node, given) => ({DROP})(given)", ["drop", "cat.png", "image/png", body])
    wait_until(tab, lambda: "rich reads no pictures" in tab.locator("#notice").inner_text())
    choose(tab, "sighted")
    assert tab.locator("#add-file").inner_text() == "Add picture"
    tab.locator("#question").evaluate(f"(node, given) => ({DROP})(given)", ["drop", "cat.png", "image/png", body])
    wait_until(tab, lambda: tab.locator("#held img").count() == 1)
    tab.locator("#question").evaluate(f"(node, given) => ({DROP})(given)", ["paste", "dog.png", "image/png", body])
    tab.set_input_files("#files", {"name": "note.txt", "mimeType": "text/plain", "buffer": b"words"})
    wait_until(
        tab,
        lambda: "note.txt is no picture and no recording" in tab.locator("#notice").inner_text() and tab.locator("#held img").count() == 2,
    )
    tab.set_input_files("#files", {"name": "<b>owl</b>.png", "mimeType": "image/png", "buffer": base64.b64decode(body)})
    wait_until(tab, lambda: tab.locator("#held img").count() == 3)
    tab.click("[aria-label='Remove dog.png']")
    tab.screenshot(path=Path(os.environ.get("FOLIO_SCREENSHOTS", "/tmp")) / "folio-held.png")
    ask(tab, "What is dark?")
    ended(tab)
    (message,) = sighted.asked[-1].messages
    assert [part.given for part in message.media] == [f"data:image/png;base64,{body}"] * 2
    assert message.plain["content"] == "What is dark?" and not tab.locator("#held").is_visible()
    shown = tab.locator(".user img")
    assert (
        shown.count() == 2
        and shown.nth(1).get_attribute("alt") == "<b>owl</b>.png"
        and shown.first.evaluate("node => node.naturalWidth") == 60
    )
    ask(tab, "And what is light?")
    ended(tab, 2)
    assert len(sighted.asked[-1].messages[0].media) == 2 and not sighted.asked[-1].messages[2].media
    tab.screenshot(path=Path(os.environ.get("FOLIO_SCREENSHOTS", "/tmp")) / "folio-picture.png")


@pytest.mark.slow
@browsing
def test_a_recording_is_dropped_played_and_asked_about(tab: Any, models: list[Any]) -> None:
    body = base64.b64encode(tone(0.5)).decode()
    choose(tab, "sighted")
    tab.locator("#question").evaluate(f"(node, given) => ({DROP})(given)", ["drop", "tone.wav", "audio/wav", body])
    wait_until(tab, lambda: "sighted reads no recordings" in tab.locator("#notice").inner_text())
    choose(tab, "listening")
    assert tab.locator("#add-file").inner_text() == "Add recording"
    tab.locator("#question").evaluate(f"(node, given) => ({DROP})(given)", ["drop", "tone.wav", "audio/wav", body])
    wait_until(tab, lambda: tab.locator("#held audio").count() == 1)
    tab.set_input_files("#files", {"name": "a second tone.flac", "mimeType": "", "buffer": tone(0.5, "FLAC")})
    wait_until(tab, lambda: tab.locator("#held audio").count() == 2)
    # The page's policy lets a recording of its own be played.
    wait_until(tab, lambda: 0.4 < tab.locator("#held audio").first.evaluate("node => node.duration || 0") < 0.6)
    wait_until(tab, lambda: 0.4 < tab.locator("#held audio").last.evaluate("node => node.duration || 0") < 0.6)
    tab.screenshot(path=Path(os.environ.get("FOLIO_SCREENSHOTS", "/tmp")) / "folio-held-recording.png")
    ask(tab, "What is heard?")
    ended(tab)
    (message,) = models[5].asked[-1].messages
    assert [part.input_audio.format for part in message.media] == ["wav", "flac"] and message.media[0].given == body
    assert message.plain["content"] == "What is heard?"
    assert tab.locator(".user figcaption").all_inner_texts() == ["tone.wav", "a second tone.flac"]
    tab.screenshot(path=Path(os.environ.get("FOLIO_SCREENSHOTS", "/tmp")) / "folio-recording.png")


@pytest.mark.slow
@browsing
def test_a_setting_that_is_no_number_is_told_and_nothing_is_asked(tab: Any, models: list[Any]) -> None:
    choose(tab, "rich")
    tab.click("#show-settings")
    tab.locator("#top_k").press_sequentially("e")
    ask(tab, "Who?")
    wait_until(tab, lambda: tab.locator("#notice").is_visible())
    assert "number" in tab.locator("#notice").inner_text() and not models[1].asked


@pytest.mark.slow
@browsing
def test_two_models_answer_side_by_side_and_a_fault_is_told(tab: Any, models: list[Any]) -> None:
    tab.click("#compare")
    choose(tab, "rich", 1)
    ask(tab, "Who walked?")
    ended(tab, 2)
    assert tab.locator(".pane").count() == 2 and "Two roads" in tab.locator(".pane").nth(1).inner_text()
    assert "tokens" in tab.locator(".pane").first.locator(".foot").inner_text()
    ask(tab, "walk " * 200)
    tab.wait_for_selector(".pane:first-child .wrong")
    assert "context" in tab.locator(".wrong").inner_text()
    tab.screenshot(path=Path(os.environ.get("FOLIO_SCREENSHOTS", "/tmp")) / "folio-two.png")


@pytest.mark.slow
@browsing
def test_two_conversations_on_a_phone_stand_one_below_the_other(browser: Any, models: list[Any]) -> None:
    with serving(models, LIMITS) as address:
        context = browser.new_context(viewport={"width": 360, "height": 640})
        tab = context.new_page()
        tab.goto(address)
        tab.wait_for_selector(".pane select")
        tab.click("#compare")
        for summary in tab.locator(".about summary").all():
            summary.click()
        first, second = (tab.locator(".pane").nth(number).bounding_box() for number in (0, 1))
        inside = [part.bounding_box() for part in tab.locator(".pane").first.locator(":scope > *").all()]
        assert first["y"] + first["height"] <= second["y"] + 1
        assert all(part["y"] + part["height"] <= second["y"] + 1 for part in inside)
        context.close()


@pytest.mark.slow
@browsing
@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (1100, "dark"), (360, "light"), (360, "dark")])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_window(browser: Any, models: list[Any], width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with serving(models, LIMITS) as address:
        context = browser.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme, bypass_csp=True)
        tab = context.new_page()
        tab.goto(address)
        tab.wait_for_selector(".pane select")
        choose(tab, "rich")
        ask(tab, "Show me.")
        ended(tab)
        tab.click("#show-settings")
        tab.click(".about summary")
        found = axe.Axe().run(tab).response["violations"]
        assert not [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found]
        for part in ("html", "#settings", ".messages", "#composer"):
            assert tab.locator(part).evaluate("node => node.scrollWidth <= node.clientWidth"), part
        tab.screenshot(path=Path(os.environ.get("FOLIO_SCREENSHOTS", "/tmp")) / f"folio-{width}-{scheme}.png")
        context.close()
