"""The documentation page in a real browser: it needs nothing but the service, and its form gets real answers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def page(suite: str) -> Iterator["Page"]:
    if CHROMIUM is None:
        pytest.skip("no Chromium; install Debian's package `chromium`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(base_url=suite)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        yield page
        browser.close()


def test_lists_every_operation_without_the_internet(page, suite: str) -> None:
    page.goto("/docs")
    page.get_by_text("/v1/vision/classify", exact=True).wait_for()
    document = page.request.get("/openapi.json").json()
    operations = sum(len(methods) for methods in document["paths"].values())
    assert page.locator("details.operation").count() == operations
    assert [url for url in page.asked if not url.startswith((suite, "blob:", "data:"))] == []
    assert page.faults == []


def test_the_form_classifies_a_picture(page) -> None:
    page.goto("/docs")
    operation = page.locator("details#classify")
    operation.locator("summary").first.click()
    operation.locator("input[type=file]").set_input_files(ROOT / "docs/trouser.png")
    operation.get_by_role("button", name="Send").click()
    operation.locator("div[aria-live]").get_by_text("200 OK").wait_for()
    assert '"label": "trouser"' in operation.locator("div[aria-live] pre").inner_text()
    assert page.faults == []


def test_the_form_shows_a_problem_as_it_is(page) -> None:
    page.goto("/docs")
    operation = page.locator("details#classify")
    operation.locator("summary").first.click()
    operation.locator("input[type=file]").set_input_files(
        {"name": "empty.png", "mimeType": "image/png", "buffer": b"not a picture"}
    )
    operation.get_by_role("button", name="Send").click()
    operation.locator("div[aria-live]").get_by_text("415").first.wait_for()
    assert "neither PNG nor JPEG" in operation.locator("div[aria-live] pre").inner_text()
