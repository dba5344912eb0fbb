"""The service's pages in a browser: what they show, by keyboard alone, at any width, and whom they ask."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.pages_service import PagesService, events, job_id, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

TOKEN = "a long random text"
# what would run if it became markup, an address or a script
HOSTILE = "<img src=x onerror=\"document.title='hurt'\"><script>document.title='hurt'</script>'\"`${1}&lt;"
PROGRESS = {
    "stage": "correct",
    "completed": 1250,
    "total": 5000,
    "percent": 25.0,
    "seconds_left": 130.0,
    "updated": "2026-06-01T10:00:00+00:00",
}
# timers that fire at once, and the delays that were asked for
QUICK_TIMERS = """
window.delays = [];
const real = window.setTimeout;
window.setTimeout = (call, delay, ...more) => { window.delays.push(delay); return real(call, delay / 200, ...more); };
"""
HIDDEN = "Object.defineProperty(document, 'hidden', {get: () => true});"
SECONDS = 20


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PagesService]:
    with PagesService(tmp_path / "data") as running:
        yield running


@pytest.fixture
def before_page(browser: Chrome) -> Iterator[Callable[[str], None]]:
    """Run a script before those of the pages that are opened from now on."""
    added: list[str] = []

    def add(script: str) -> None:
        answer: dict[str, Any] = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
        added.append(answer["identifier"])

    yield add
    for identifier in added:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": identifier})


@pytest.fixture(autouse=True)
def window(browser: Chrome) -> Iterator[None]:
    browser.get_log("performance")
    browser.get_log("browser")
    yield
    # nothing but the service's own addresses and data inside of pages was asked for, and no page complained
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    addresses = {
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    }
    inside = ("http://127.0.0.1:", "data:", "about:", "chrome:")
    assert [address for address in addresses if not address.startswith(inside)] == []
    complaints = [
        entry["message"] for entry in browser.get_log("browser") if "Content Security Policy" in entry["message"]
    ]
    browser.get("about:blank")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert complaints == []


def wait(browser: Chrome, condition: str) -> Any:
    """Wait until an expression of JavaScript is true."""
    return WebDriverWait(browser, SECONDS, poll_frequency=0.05).until(
        lambda page: page.execute_script(f"return {condition}"), condition
    )


def text(browser: Chrome, selector: str = "main") -> str:
    return str(browser.find_element("css selector", selector).text)


def resize(browser: Chrome, width: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )


def test_a_running_job_shows_stage_progress_and_its_growing_log(
    service: PagesService, browser: Chrome, before_page: Callable[[str], None]
) -> None:
    before_page(QUICK_TIMERS)
    first = {"message": "workflow.start", "meta_analysis_id": "abc123"}
    second = {"message": "workflow.stage", "stage": "correct", "completed": 0}
    service.replies["job"] = [
        reply("job"),
        reply("job", progress=PROGRESS, logs=events(first)),
        reply("job", progress=PROGRESS, logs=events(first, second, {"message": "Something odd", "level": "WARNING"})),
    ]
    browser.get(service.page("job"))

    wait(browser, "document.querySelectorAll('#log li').length === 3")
    shown = text(browser)
    for words in (
        "job\n",
        "meta-analysis abc123",
        "Running",
        "Correcting for multiple comparisons.",
        "25 %",
        "1,250 of 5,000",
        "about 2 minutes left",
        "workflow.start",
        "Something odd",
    ):
        assert words in shown
    assert browser.title == "25 % · Correct · job"
    assert browser.find_element("css selector", "#stages [aria-current=step]").text == "Correct"
    assert browser.find_element("css selector", "#log .warning").text.endswith("Something odd")
    assert not browser.find_element("id", "failure").is_displayed()
    assert not browser.find_element("id", "results").is_displayed()
    # every 2 s, and not more often
    assert set(browser.execute_script("return delays")) == {2000}


def test_a_job_that_waits_says_so(service: PagesService, browser: Chrome) -> None:
    service.replies["job"] = [reply("job")]
    browser.get(service.page("job"))

    wait(browser, "document.getElementById('state').textContent.includes('Waiting')")
    assert not browser.find_element("id", "measure").is_displayed()


def test_nobody_looks_and_the_page_asks_less_often(
    service: PagesService, browser: Chrome, before_page: Callable[[str], None]
) -> None:
    before_page(HIDDEN)
    before_page(QUICK_TIMERS)
    service.replies["job"] = [reply("job", progress=PROGRESS)]
    browser.get(service.page("job"))

    wait(browser, "delays.length > 1")
    assert set(browser.execute_script("return delays")) == {12_000}


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_a_job_that_has_ended_is_asked_for_no_more(
    service: PagesService, browser: Chrome, before_page: Callable[[str], None], status: str
) -> None:
    before_page(QUICK_TIMERS)
    service.replies["job"] = [reply("job", progress=PROGRESS), reply("job", status, error="it")]
    browser.get(service.page("job"))

    wait(browser, f"document.title.startsWith('{status.title()}')")
    # the one timer is that of the time while it ran
    assert browser.execute_script("return delays") == [2000]
    assert service.asked == ["job", "job"]


def test_on_aws_the_page_asks_every_ten_seconds_and_once_more_for_the_end_of_the_log(
    service: PagesService, browser: Chrome, before_page: Callable[[str], None]
) -> None:
    before_page(QUICK_TIMERS)
    service.replies["job"] = [
        reply("job", progress=PROGRESS),
        reply("job", "SUCCEEDED", logs=events("a line")),
        reply("job", "SUCCEEDED", logs=events("a line", "the last line")),
    ]
    browser.get(f"{service.status_url.endpoint}/jobs/{job_id('job')}")

    wait(browser, "document.querySelectorAll('#log li').length === 2")
    assert browser.execute_script("return delays") == [10_000, 10_000]
    assert service.asked == ["job"] * 3
    # there is no list of jobs there
    assert not browser.find_element("id", "service").is_displayed()


def test_a_failed_job_says_why_and_what_it_left(service: PagesService, browser: Chrome) -> None:
    artifact = {
        "key": "k",
        "filename": "z.nii.gz",
        "path": "z.nii.gz",
        "size": 1500,
        "last_modified": "2026-06-01T10:00:00Z",
    }
    service.replies["job"] = [
        reply(
            "job",
            "FAILED",
            error="The studyset has no analyses.\nAdd one.",
            error_name="States.TaskFailed",
            artifacts=[{**artifact, "url": f"{service.endpoint}/artifact"}],
        )
    ]
    browser.get(service.page("job"))

    wait(browser, "!document.getElementById('failure').hidden")
    assert text(browser, "#failure") == "Why it failed\nThe studyset has no analyses.\nAdd one."
    assert "Ended after 2 minutes." in text(browser, ".state")
    assert text(browser, "#results").startswith("What was written before it failed")
    assert "2 kB" in text(browser, "#files")


def test_a_finished_job_leads_to_its_report_its_files_and_compose(service: PagesService, browser: Chrome) -> None:
    names = ("report.html", "z.nii.gz", "tables/z_tab-clust.tsv", "figures/a.png", "metadata.json")
    artifacts = [
        {"key": name, "filename": name, "path": name, "size": 20_000_000, "last_modified": "2026-06-01T10:00:00Z",
         "url": f"{service.endpoint}/artifact/{name}"}
        for name in names
    ]  # fmt: skip
    metadata = {"name": "Pain", "meta_analysis_id": "abc123", "result_url": "https://compose.example/result"}
    service.replies["job"] = [reply("job", "SUCCEEDED", artifacts=artifacts, result=metadata)]
    browser.get(service.page("job"))

    wait(browser, "!document.getElementById('results').hidden")
    links = {one.text: one.get_attribute("href") for one in browser.find_elements("css selector", "#results a")}
    assert links == {
        "Open the report and its viewer": f"{service.endpoint}/artifact/report.html",
        "Result on Neurosynth Compose": "https://compose.example/result",
        **{name: f"{service.endpoint}/artifact/{name}" for name in names[1:]},
    }
    assert text(browser, "#subtitle") == "Pain · meta-analysis abc123"
    headings = [one.text for one in browser.find_elements("css selector", "#files h3")]
    assert headings == ["Maps", "Tables", "Figures", "Texts and records"]


def test_what_is_no_web_address_is_no_link(service: PagesService, browser: Chrome) -> None:
    artifact = {"key": "k", "filename": "a", "size": 1, "last_modified": "2026-06-01T10:00:00Z"}
    addresses = ("javascript:document.title='hurt'", "data:text/html,x", "not an address")
    service.replies["job"] = [
        reply(
            "job",
            "SUCCEEDED",
            result={"result_url": "javascript:document.title='hurt'"},
            artifacts=[{**artifact, "path": address, "url": address} for address in addresses],
        )
    ]
    service.keep("job", metadata={"result_url": "javascript:document.title='hurt'"})
    browser.get(service.page("job"))
    wait(browser, "document.title.startsWith('Succeeded')")
    assert browser.find_elements("css selector", "#results a") == []
    browser.get(service.endpoint)
    wait(browser, "document.querySelectorAll('#rows tr').length")
    hrefs = [one.get_attribute("href") for one in browser.find_elements("css selector", "#rows a")]
    assert [href for href in hrefs if not str(href).startswith(service.endpoint)] == []


def test_hostile_texts_stay_texts(service: PagesService, browser: Chrome) -> None:
    artifact = {"key": "k", "filename": HOSTILE, "path": HOSTILE, "size": 1, "last_modified": "2026-06-01T10:00:00Z"}
    service.replies["job"] = [
        reply(
            "job",
            "FAILED",
            error=HOSTILE,
            error_name=HOSTILE,
            cause=HOSTILE,
            result={"name": HOSTILE, "meta_analysis_id": HOSTILE},
            artifacts=[{**artifact, "url": f"{service.endpoint}/artifact"}],
            logs=events(
                HOSTILE,
                {"message": HOSTILE, "error": HOSTILE, "level": HOSTILE},
                "[1]",
                {"message": "workflow.stage", "stage": "__proto__"},
                {"message": {"a": HOSTILE}},
            ),
        )
    ]
    service.keep(
        "job", "FAILED", metadata={"error": HOSTILE, "name": HOSTILE, "meta_analysis_id": HOSTILE, "estimator": HOSTILE}
    )
    service.keep("runs", "RUNNING", input=json.dumps({"meta_analysis_id": HOSTILE}))
    service.put(
        ".progress/runs.json", json.dumps({"stage": HOSTILE, "percent": HOSTILE, "jobs_before": HOSTILE}).encode()
    )

    browser.get(service.page("job"))
    wait(browser, "document.querySelectorAll('#log li').length === 5")
    assert text(browser, "#reason") == HOSTILE
    assert text(browser).count(HOSTILE) >= 6
    assert browser.title == "Failed · job"
    browser.get(service.endpoint)
    wait(browser, "document.querySelectorAll('#rows tr').length === 2")
    assert text(browser, "#rows").count(HOSTILE) >= 4
    for page in ("img", "#rows script", "#log script"):
        assert browser.find_elements("css selector", page) == []
    assert browser.title == "Jobs · compose-runner"


def test_an_unknown_job_and_a_service_that_has_gone_are_told(
    service: PagesService, browser: Chrome, before_page: Callable[[str], None]
) -> None:
    before_page(QUICK_TIMERS)
    browser.get(service.page("nothing"))
    wait(browser, "document.getElementById('title').textContent === 'No such job'")
    assert browser.execute_script("return delays") == []
    service.replies["job"] = [reply("job", progress=PROGRESS)]
    browser.get(service.page("job"))
    wait(browser, "delays.length > 1")
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
    )
    wait(browser, "!document.getElementById('notice').hidden")
    assert "does not answer" in text(browser, "#notice")
    browser.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
    )
    wait(browser, "document.getElementById('notice').hidden")


def focus_order(browser: Chrome, stops: int) -> list[str]:
    """What the Tab key leads to, by id or text."""
    found = []
    for _ in range(stops):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        active = browser.switch_to.active_element
        found.append(active.get_attribute("id") or active.text or active.tag_name)
    return found


def test_a_job_is_started_by_keyboard_alone(service: PagesService, browser: Chrome) -> None:
    service.keep("earlier", metadata={"name": "Pain"})
    service.put("earlier/report.html", b"<p>")
    browser.get(service.endpoint)
    wait(browser, "document.querySelectorAll('#rows tr').length")

    order = focus_order(browser, 9)
    assert order[:3] == ["Skip to the jobs", "Jobs", "HTTP interface"]
    assert order[3:] == ["earlier", "Report", "meta-analysis", "environment", "submit-name", "publish"]
    browser.find_element("id", "meta-analysis").send_keys("https://compose.example/meta-analyses/ataCTPAt2LMw?tab=1")
    browser.find_element("id", "submit-name").send_keys("my-job", Keys.ENTER)

    wait(browser, "document.querySelector('#submit-message a')")
    assert service.submitted == [
        {
            "meta_analysis_id": "ataCTPAt2LMw",
            "environment": "production",
            "no_upload": True,
            "artifact_prefix": "my-job",
        }
    ]
    assert text(browser, "#submit-message") == "Started: my-job"
    link = browser.find_element("css selector", "#submit-message a").get_attribute("href")
    assert str(link).endswith("my-job")


def test_the_skip_link_leads_past_the_navigation(service: PagesService, browser: Chrome) -> None:
    service.replies["job"] = [reply("job", progress=PROGRESS, logs=events("a line"))]
    browser.get(service.page("job"))
    wait(browser, "!document.getElementById('log-section').hidden")
    browser.switch_to.active_element.send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "main"
    # the log can be scrolled without a mouse
    assert focus_order(browser, 1) == ["log"]


def test_the_focus_stays_when_the_list_is_drawn_anew(
    service: PagesService, browser: Chrome, before_page: Callable[[str], None]
) -> None:
    before_page(QUICK_TIMERS)
    service.keep("first", "RUNNING")
    browser.get(service.endpoint)
    wait(browser, "document.querySelector('#rows a')")
    browser.execute_script("document.querySelector('#rows a').focus()")
    service.keep("second")
    wait(browser, "document.querySelectorAll('#rows tr').length === 2")
    assert browser.switch_to.active_element.text == "first"


def test_a_bundle_is_sent_as_it_is_and_unpacked_where_it_is_packed(
    service: PagesService, browser: Chrome, tmp_path: Path
) -> None:
    content = b'{"studyset": {}, "annotation": {}, "specification": {}}'
    plain, packed, broken = tmp_path / "bundle.json", tmp_path / "bundle.json.gz", tmp_path / "broken.json.gz"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    broken.write_bytes(gzip.compress(content)[:30])
    browser.get(service.endpoint)
    wait(browser, "!document.getElementById('service').hidden")
    for number, (path, message) in enumerate(
        (
            (plain, "Started: job-0"),
            (packed, "Started: job-1"),
            (broken, "The file is not whole: it cannot be unpacked."),
        )
    ):
        browser.find_element("id", "bundle").send_keys(str(path))
        browser.find_element("id", "bundle-name").clear()
        browser.find_element("id", "bundle-name").send_keys(f"job-{number}", Keys.ENTER)
        wait(browser, f"document.getElementById('bundle-message').textContent === {json.dumps(message)}")
    assert service.sent == [(content, "job-0"), (content, "job-1")]


def test_a_dropped_file_is_chosen_and_a_refusal_stays_text(service: PagesService, browser: Chrome) -> None:
    browser.get(service.endpoint)
    wait(browser, "!document.getElementById('service').hidden")
    browser.execute_script(
        """const files = new DataTransfer();
        files.items.add(new File(['wrong'], 'bundle.json', {type: 'application/json'}));
        document.getElementById('drop').dispatchEvent(
          new DragEvent('drop', {dataTransfer: files, bubbles: true, cancelable: true}));"""
    )
    browser.find_element("css selector", "#bundle-form button").click()

    wait(browser, "document.getElementById('bundle-message').className === 'message bad'")
    assert text(browser, "#bundle-message") == "bundle: it has no <b>studyset</b> that is a JSON object"


def test_the_report_opens_from_the_list(service: PagesService, browser: Chrome) -> None:
    service.keep("job", metadata={"name": "Pain"})
    service.put("job/report.html", b"<p>")
    service.artifacts = [{"path": "report.html", "url": f"{service.endpoint}/health"}]
    browser.get(service.endpoint)
    wait(browser, "document.querySelector('#rows td a')")
    browser.find_element("css selector", "#rows td a").click()
    wait(browser, "location.pathname === '/health'")


def test_the_token_is_asked_for_once_and_is_in_no_address_or_cookie(browser: Chrome, tmp_path: Path) -> None:
    with PagesService(tmp_path, TOKEN) as service:
        service.keep("job")
        service.replies["job"] = [reply("job", "SUCCEEDED")]
        browser.get(service.endpoint)
        wait(browser, "!document.getElementById('token').hidden")
        assert browser.find_elements("css selector", "#rows tr") == []
        browser.switch_to.active_element.send_keys("wrong", Keys.ENTER)
        wait(browser, "sessionStorage.length === 0 && !document.getElementById('token').hidden")
        browser.find_element("id", "token-field").send_keys(TOKEN, Keys.ENTER)
        wait(browser, "document.querySelectorAll('#rows tr').length === 1")
        browser.find_element("css selector", "#rows a").click()
        wait(browser, "document.title.startsWith('Succeeded')")
        assert not browser.find_element("id", "token").is_displayed()
        assert TOKEN not in browser.current_url
        assert browser.get_cookies() == []
        assert browser.execute_script("return localStorage.length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_every_window_and_can_be_read_in_both_schemes(
    service: PagesService, browser: Chrome, scheme: str
) -> None:
    long = "a-name-that-has-80-characters-and-no-place-where-a-line-could-be-broken-in-two__"
    artifact = {
        "key": "k",
        "filename": "a",
        "path": f"tables/{long}.tsv",
        "size": 1,
        "last_modified": "2026-06-01T10:00:00Z",
    }
    lines = events("x" * 400, {"message": "m", "level": "ERROR"})
    service.replies[long] = [reply(long, progress=PROGRESS, logs=lines)]
    service.replies["failed"] = [
        reply("failed", "FAILED", error="y" * 300, artifacts=[{**artifact, "url": f"{service.endpoint}/a"}])
    ]
    service.keep(long, metadata={"name": "z" * 200, "result_url": "https://compose.example/"})
    service.keep("failed", "FAILED", metadata={"error": "y" * 300})
    service.put(f"{long}/report.html", b"<p>")
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    for page in ("/", "/docs", service.page(long), service.page("failed")):
        for width in (360, 1280):
            resize(browser, width)
            browser.get(page if page.startswith("http") else f"{service.endpoint}{page}")
            wait(
                browser,
                "!document.querySelector('#badge') || document.getElementById('badge').textContent !== 'Asking'",
            )
            wait(browser, "!document.getElementById('rows') || document.querySelectorAll('#rows tr').length === 2")
            browser.execute_script("document.querySelectorAll('details').forEach((one) => one.open = true)")
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, (page, width)
            assert browser.execute_script(LOW_CONTRAST) == [], (page, width)
            assert browser.execute_script(LANDMARKS) == [], (page, width)


# texts whose contrast with what is behind them is below WCAG 2.2's level AA (4.5, large texts 3)
LOW_CONTRAST = r"""
const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const behind = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const colour = parts(getComputedStyle(one).backgroundColor);
    if (colour.length < 4 || colour[3] > .99) return colour;
  }
  return [255, 255, 255];
};
const opacity = (element) => element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1;
const has_text = (element) => [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
return [...document.querySelectorAll('body *')].filter((element) => {
  if (!element.checkVisibility() || !has_text(element)) return false;
  const style = getComputedStyle(element);
  const ground = behind(element);
  const share = opacity(element);
  const ink = parts(style.color).slice(0, 3).map((v, i) => v * share + ground[i] * (1 - share));
  const [low, high] = [luminance(ink), luminance(ground)].sort((a, b) => a - b);
  const size = parseFloat(style.fontSize);
  return (high + .05) / (low + .05) < (size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5);
}).map((element) => `${element.tagName} ${element.className} ${element.textContent.trim().slice(0, 40)}`);
"""
# what a screen reader needs of the page's structure
LANDMARKS = r"""
const wrong = [];
['main', 'h1', 'body > header', 'body > footer', 'a.skip'].forEach((selector) => {
  if (document.querySelectorAll(selector).length !== 1) wrong.push(selector); });
if (document.documentElement.lang !== 'en') wrong.push('lang');
document.querySelectorAll('nav').forEach((nav) => { if (!nav.getAttribute('aria-label')) wrong.push('nav'); });
document.querySelectorAll('section').forEach((section) => {
  const title = document.getElementById(section.getAttribute('aria-labelledby'));
  if (!title || !/^H[23]$/.test(title.tagName)) wrong.push(`section ${section.id}`); });
document.querySelectorAll('input, select, progress').forEach((field) => {
  if (!field.getAttribute('aria-label') && !(field.labels && field.labels.length)) wrong.push(`field ${field.id}`); });
document.querySelectorAll('th').forEach((cell) => { if (!cell.scope) wrong.push(`th ${cell.textContent}`); });
document.querySelectorAll('a, button').forEach((link) => {
  const name = link.getAttribute('aria-label') || link.textContent.trim();
  if (link.checkVisibility() && !name) wrong.push('empty link'); });
const levels = [...document.querySelectorAll('h1, h2, h3')].filter((h) => h.checkVisibility())
  .map((h) => h.tagName[1]);
levels.forEach((level, i) => { if (i && level - levels[i - 1] > 1) wrong.push(`h${level} after h${levels[i - 1]}`); });
return wrong;
"""
