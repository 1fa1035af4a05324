"""What an operator does with a browser, done with a real one: Chromium without a screen.

`LOPT_SCREENSHOTS=docs/images/operate` keeps pictures of the pages. Those there that are not taken
here (`gate`, `mlflow_run`, `version`) were taken of longer runs by hand, and stay as they are.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.operators import SECONDS, Operator, eventually

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * SECONDS)]

NAMES = ("chromium", "chromium-browser", "google-chrome")
MILLISECONDS = 300_000.0
SECONDS_TO_DRAW = 5


@pytest.fixture(scope="module")
def page() -> Iterator["Page"]:
    """A page of a browser that notes which hosts are asked."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, f"There is no browser: install Chromium (any of {', '.join(NAMES)})."
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work for root, which tests in a container are.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        with playwright.chromium.launch(executable_path=found, args=arguments) as browser:
            page = browser.new_page(viewport={"width": 1300, "height": 900})
            page.set_default_timeout(MILLISECONDS)
            yield page


@pytest.fixture
def picture(page: "Page", tmp_path: Path) -> Callable[..., None]:
    """A function that keeps a picture of the page, after the time that it takes to be drawn."""
    folder = Path(os.environ.get("LOPT_SCREENSHOTS") or tmp_path)
    taken: set[str] = set()

    def take(name: str, shown: "Page" = page, seconds: float = SECONDS_TO_DRAW) -> None:
        assert name not in taken, f"{name}.png shows another page already"
        taken.add(name)
        folder.mkdir(parents=True, exist_ok=True)
        shown.wait_for_timeout(seconds * 1000)
        shown.screenshot(path=folder / f"{name}.png", timeout=MILLISECONDS)

    return take


def field(page: "Page", label: str) -> "Locator":
    """The part of the form with one parameter."""
    name = page.locator(
        ".schema-form-property__label", has_text=re.compile(rf"^{label} \(Optional\)$")
    )
    return page.locator(".schema-form-property").filter(has=name).last


def submit(page: "Page", entry: "Locator", value: str) -> None:
    """Type a value, go on to the next field, as a person does, and submit the form."""
    entry.fill(value)
    entry.press("Tab")
    page.wait_for_timeout(SECONDS_TO_DRAW * 1000)
    page.get_by_role("button", name="Submit").click()


def see_it_begin(operator: Operator, page: "Page", picture: Callable[..., None]) -> None:
    """Wait for the run, and submit the form again where the server was too busy to take it."""
    for _ in range(3):
        for _ in range(90):
            if newest_run(operator, "full-cycle"):
                return
            page.wait_for_timeout(1000)
        page.get_by_role("button", name="Submit").click(force=True)
    raise AssertionError(leave(page, picture))


def leave(page: "Page", picture: Callable[..., None]) -> str:
    """Keep a picture of what went wrong; what the page says."""
    picture("wrong")
    return page.inner_text("body")


def open_form(page: "Page", operator: Operator) -> None:
    page.goto(f"{operator.prefect}/deployments")
    page.get_by_role("link", name="tiny").first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()


def newest_run(operator: Operator, flow: str) -> dict[str, Any]:
    found = operator.ask(
        "flow_runs/filter", flows={"name": {"any_": [flow]}}, sort="EXPECTED_START_TIME_DESC"
    )
    return dict(found[0]) if found else {}


def test_a_person_opens_the_form_runs_it_and_finds_plots_and_the_registered_version(
    operator: Operator, page: "Page", picture: Callable[..., None]
) -> None:
    asked: set[str] = set()
    page.context.on("request", lambda request: asked.add(request.url.split("/")[2]))
    page.goto(f"{operator.prefect}/deployments")
    page.get_by_text("full-cycle").wait_for()
    picture("deployments")
    open_form(page, operator)
    steps = field(page, "Meta steps").locator("input")
    assert steps.input_value() == "6"
    picture("form")
    submit(page, steps, "0")
    page.get_by_text("less than the minimum").first.wait_for()
    steps.scroll_into_view_if_needed()
    # What it says does not stay for long.
    picture("refused", seconds=0.2)
    submit(page, steps, "4")
    see_it_begin(operator, page, picture)
    run = newest_run(operator, "full-cycle")
    assert run["parameters"]["meta_training"]["meta_steps"] == 4
    # Its page draws all the time, which a machine without a screen is slow at.
    page.goto("about:blank")
    eventually(lambda: operator.state(run["id"]) in {"COMPLETED", "FAILED", "CRASHED"})
    page.goto(f"{operator.prefect}/runs/flow-run/{run['id']}")
    page.get_by_text("Completed").first.wait_for()
    picture("flow_run")
    assert operator.progress(newest_run(operator, "meta-train")["id"]) == {"meta-training": 100.0}
    follow_to_plots(operator, page, picture)
    page.goto(f"{operator.mlflow}/#/models/learned-optimizer")
    page.get_by_text("champion").first.wait_for()
    picture("model")
    ours = {f"127.0.0.1:{operator.prefect_port}", f"127.0.0.1:{operator.mlflow_port}"}
    assert asked - {""} == ours


def follow_to_plots(operator: Operator, page: "Page", picture: Callable[..., None]) -> None:
    """Go from the evaluation in Prefect to its run in MLflow, and to a plot of that."""
    run = newest_run(operator, "evaluate-release")
    page.goto(f"{operator.prefect}/runs/flow-run/{run['id']}")
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("mlflow-run", exact=True).first.click()
    page.get_by_role("link", name="The run in MLflow").wait_for()
    picture("link")
    page.get_by_role("link", name="The run in MLflow").click()
    shown = opened_at(operator.mlflow, page)
    # The panel of MLflow's assistant, which there is nobody behind.
    shown.get_by_role("button", name="Close", exact=True).click()
    shown.get_by_role("link", name=re.compile("^Flow run evaluate-release")).wait_for()
    shown.get_by_role("tab", name="Artifacts").click()
    shown.get_by_text("plots", exact=True).first.click()
    shown.get_by_text("scores.png", exact=True).first.click()
    shown.locator("img[src^='blob:']").first.wait_for()
    picture("mlflow_plots", shown)


def opened_at(address: str, page: "Page") -> "Page":
    """The page at an address that a click has opened, in the same tab or another."""
    for _ in range(int(MILLISECONDS / 1000)):
        page.wait_for_timeout(1000)
        for one in page.context.pages:
            if one.url.startswith(address):
                one.set_default_timeout(MILLISECONDS)
                return one
    raise AssertionError(f"No page at {address}: {[one.url for one in page.context.pages]}")
