"""Headless Chromium, with what it says of errors."""

import contextlib
import os
import shutil

import pytest

from tests.oracles.perf import absent


@contextlib.contextmanager
def chromium(width: int = 1280, height: int = 900):
    """A browser (selenium's driver). Skips (in CI: fails) if there is none."""
    driver = shutil.which("chromedriver")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not driver or not program:
        absent("there is no chromium with chromedriver")
    webdriver = pytest.importorskip("selenium.webdriver") if not os.environ.get("CI") else None
    if webdriver is None:
        from selenium import webdriver
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.add_argument(f"--window-size={width},{height}")
    options.add_argument("--force-prefers-color-scheme=light")
    options.add_argument("--allow-file-access-from-files")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    browser = webdriver.Chrome(options=options, service=service)
    try:
        yield browser
    finally:
        browser.quit()


def complaints(browser) -> list[str]:
    """What the console shows: script errors, refused loads, broken policies."""
    return [entry["message"] for entry in browser.get_log("browser")]
