"""The site as a browser shows it, from files: no complaints, a search that finds, room on a phone, in the dark too."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_catalog import Catalog, Kind, Role
from data_catalog.views.page import write_page
from tests.data_catalog.written_store import Made, classes, dipping, write_dataset

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver here")

FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
    *("disable-component-update", "disable-sync", "disable-dev-shm-usage"),
)
PHONE, DESK = 390, 1280
MARKUP = "<script>document.title='broken'</script>"
STACK = ("inline", "crossline", "time")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browsed")
    catalog, amplitude = Catalog(folder / "catalog"), dipping((16, 24, 50))
    write_dataset(
        catalog,
        "salt",
        {
            "amplitude": Made(Role.INPUT, STACK, amplitude, {"long_name": MARKUP}),
            "salt": classes(STACK, amplitude > 0, "rock", "salt"),
            "a_coordinate_with_quite_a_long_name": Made(Role.COORDINATE, STACK[:2], np.zeros((16, 24))),
        },
        derived={"zones": {"label": classes(STACK, amplitude > 50, "upper", "middle", MARKUP)}},
        kind=Kind.STACK3D,
        splits={"train": ({"inline": (0, 9)},), "test": ({"inline": (10, 16)},)},
        recipe={"out": "/a/rather/long/path/without/a/single/blank" * 5, "what": MARKUP},
        warnings=("x" * 300, MARKUP),
    )
    for name, kind, dims in (("line", Kind.STACK2D, ("trace", "time")), ("records", Kind.FLAT, ("trace", "time"))):
        write_dataset(catalog, name, {"amplitude": Made(Role.INPUT, dims, dipping((40, 50)))}, kind=kind)
    assert write_page(catalog, folder / "site") == {}
    return folder / "site"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


def show(browser: Any, path: Path, *, width: int = DESK, scheme: str = "light") -> None:
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(path.as_uri())


def complaints(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


@pytest.mark.parametrize("name", ["index.html", "datasets/salt.html", "datasets/line.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_page_is_shown_whole_and_without_complaint(
    browser: Any, site: Path, name: str, scheme: str, width: int
) -> None:
    show(browser, site / name, width=width, scheme=scheme)
    browser.execute_script("for (const each of document.images) each.loading = 'eager'")
    loaded = "return Promise.all([...document.images].map((each) => each.decode())).then(() => document.images.length)"
    assert browser.execute_script(loaded) >= 2
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(wide) == 0, "the page itself does not scroll sideways"
    assert complaints(browser) == []
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert browser.title != "broken"


def test_a_browser_does_complain(browser: Any, site: Path, tmp_path: Path) -> None:
    """Else the test above could not fail: what is not in the page's policy is refused, and said."""
    text = (site / "datasets/line.html").read_text()
    (tmp_path / "spoilt.html").write_text(text.replace("</h1>", f"</h1>{MARKUP}"))
    show(browser, tmp_path / "spoilt.html")
    assert any("Content Security Policy" in each for each in complaints(browser))
    assert browser.title == "line"


def test_the_list_is_searched(browser: Any, site: Path) -> None:
    show(browser, site / "index.html")
    box = browser.find_element("id", "search")

    def shown(text: str) -> list[str]:
        box.clear()
        box.send_keys(text)
        headings = browser.find_elements("css selector", ".cards h2")
        return [each.text for each in headings if each.is_displayed()]

    assert shown("") == ["line", "records", "salt"]
    assert shown("STACK") == ["line", "salt"]
    assert shown("stack middle") == ["salt"]
    assert shown("flat") == ["records"]
    assert browser.find_element("id", "found").text == "1 of 3 shown"
    assert shown("<script>document.title") == ["salt"]
    assert shown("nothing like it") == []
    assert shown("salt") == ["salt"]
    browser.find_element("link text", "salt").click()
    assert browser.title == "salt"
    assert complaints(browser) == []


def test_layers_are_laid_over_the_sections_one_at_a_time(browser: Any, site: Path) -> None:
    show(browser, site / "datasets/salt.html")

    def visible() -> set[str]:
        found = browser.find_elements("css selector", "img.over")
        return {each.get_attribute("alt") for each in found if each.is_displayed()}

    assert visible() == {"salt over it"}
    browser.find_element("id", "layer-2").click()
    assert visible() == {"zones/label over it"}
    assert [each.text for each in browser.find_elements("css selector", ".legend li") if each.is_displayed()] == [
        "upper",
        "middle",
        MARKUP,
    ]
    browser.find_element("id", "layer-0").click()
    assert visible() == set()


def test_a_layer_lies_exactly_on_the_axes(browser: Any, site: Path) -> None:
    """The picture's frame, as it was drawn, and the layer, as the style sheet places it."""
    show(browser, site / "datasets/salt.html")
    places = browser.execute_script(
        "const frame = document.querySelector('.picture').getBoundingClientRect();"
        "const over = document.querySelector('.over').getBoundingClientRect();"
        "return [(over.left - frame.left) / frame.width, (over.right - frame.left) / frame.width,"
        "1 - (over.bottom - frame.top) / frame.height, 1 - (over.top - frame.top) / frame.height]"
    )
    from data_catalog.views.page.figure import BOTTOM, LEFT, RIGHT, TOP

    assert places == pytest.approx([LEFT, RIGHT, BOTTOM, TOP], abs=0.003)


def test_lines_are_copied(browser: Any, site: Path) -> None:
    show(browser, site / "datasets/salt.html")
    origin = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    browser.execute_cdp_cmd("Browser.grantPermissions", origin)
    button = browser.find_element("css selector", ".snippet button")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    browser.set_script_timeout(10)
    copied = browser.execute_async_script(
        "const done = arguments[0]; navigator.clipboard.readText().then(done, (error) => done(String(error)))"
    )
    assert copied == browser.find_element("css selector", ".snippet pre").text
    assert copied.startswith("import data_catalog")
    assert button.text == "Copied"
    assert complaints(browser) == []


def test_without_script_the_list_is_there(browser: Any, site: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(browser, site / "index.html")
        assert len(browser.find_elements("css selector", ".cards li")) == 3
        assert not browser.find_element("id", "search").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
