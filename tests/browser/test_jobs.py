"""Jobs and dead letters in a browser, on real servers: found, understood, changed, run again; by two people at once."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import House

SECONDS = 60_000


@pytest.fixture(autouse=True)
def calm(house: House) -> Any:
    """No story ends with a word on the console."""
    house.complaints.clear()
    yield
    assert house.complaints == []


def parked(house: House, script: str, *more: str) -> str:
    job_id = house.submit(script, "--retries", "0", *more)
    house.stack.wait_for_status(job_id, "dead_lettered")
    return job_id


def overflows(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_a_dead_letter_is_changed_after_a_look_and_succeeds(house: House) -> None:
    job_id = parked(house, 'echo the database is $DB; test "$DB" = test', "--env", "DB=live")
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto(f"/jobs/{job_id}")
        expect(page.locator(".box.bad")).to_contain_text("exit code 1")
        look_at_difference(page, "DB=test")
        expect(page.locator("table.difference del")).to_have_text("live")
        expect(page.locator("table.difference ins")).to_have_text("test")
        page.click("button:has-text('Run again so')")
        expect(page.locator("h1 .badge")).to_contain_text("success", timeout=SECONDS)
        expect(page.locator("[aria-label=History]")).to_contain_text("the other database")
        expect(page.locator("details.attempt")).to_have_count(2)


def test_without_scripts_a_look_changes_nothing_and_a_change_can_stay_parked(house: House) -> None:
    job_id = parked(house, "exit 1", "--env", "DB=live")
    with house.look(390, scripts=False) as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto(f"/jobs/{job_id}")
        look_at_difference(page, "DB")
        expect(page.locator("table.difference")).to_contain_text("taken away")
        page.click("text=Back, without a change")
        expect(page.locator(".variables")).to_have_text("DB=live")
        look_at_difference(page, "DB=test")
        page.click("button:has-text('leave it parked')")
        expect(page.locator(".variables")).to_have_text("DB=test")
        expect(page.locator("h1 .badge")).to_contain_text("dead lettered")


def look_at_difference(page: Page, env: str) -> None:
    page.click("summary:has-text('Change it first')")
    page.fill("form[action$=review] textarea[name=env]", env)
    page.fill("form[action$=review] input[name=reason]", "the other database")
    page.click("button:has-text('Show the difference')")
    expect(page.locator("table.difference tbody tr")).to_have_count(1)


def test_two_people_on_one_page(house: House) -> None:
    job_id = parked(house, "exit 7")
    with house.look() as first, house.look(scripts=False) as second:
        ann, bob = first.new_page(), second.new_page()
        for page in (ann, bob):
            house.sign_in(page)
            page.goto(f"/jobs/{job_id}")
        ann.click("button:has-text('Run again as it is')")
        expect(ann.locator("details.attempt")).to_have_count(2, timeout=SECONDS)
        house.stack.wait_for_status(job_id, "dead_lettered")
        bob.click("button:has-text('Run again as it is')")
        expect(bob.locator("#problem")).to_contain_text("Somebody was faster")
        expect(bob.locator("details.attempt")).to_have_count(2)
    assert all("409 (Conflict)" in each for each in house.complaints)
    house.complaints.clear()


def test_many_run_again_with_a_canary_whose_progress_is_seen(house: House, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    jobs = [parked(house, f"test -e {mended}; sleep 1", "--type", "nightly") for _ in range(3)]
    mended.touch()
    with house.look(390) as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto("/dead-letters?job_type=nightly")
        expect(page.locator("tbody tr[id^=job-]")).to_have_count(3)
        assert overflows(page) == 0
        page.check("input[value=filter]")
        page.click("button:has-text('Run again …')")
        expect(page.locator("h1")).to_contain_text("3 dead letters")
        page.fill("input[name=canary]", "1")
        page.fill("input[name=reason]", "the file is there")
        page.click("main button:has-text('Run again')")
        expect(page.locator("main")).to_contain_text("3 of 3", timeout=SECONDS)
        expect(page.locator("main")).to_contain_text("Finished.", timeout=SECONDS)
        expect(page.locator(".plain-list .badge")).to_contain_text("success")
        assert "✓" in page.title()
        assert overflows(page) == 0
    for job_id in jobs:
        house.stack.wait_for_status(job_id, "success")


def test_the_box_that_ticks_all_stays_when_the_page_is_renewed(house: House) -> None:
    first = parked(house, "exit 4")
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto("/dead-letters")
        expect(page.locator("#live-state")).to_have_text("live", timeout=30_000)
        second = parked(house, "exit 5")
        expect(page.locator(f"#job-{second}")).to_be_visible(timeout=30_000)
        page.check(".pick-all")
        for job_id in (first, second):
            expect(page.locator(f"#job-{job_id} input")).to_be_checked()
    with house.look(scripts=False) as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto("/dead-letters")
        expect(page.locator(".pick-all")).to_be_hidden()


def test_chosen_ones_are_given_up(house: House) -> None:
    jobs = [parked(house, "exit 3", "--type", "obsolete") for _ in range(2)]
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto("/dead-letters?job_type=obsolete")
        page.check("input.pick-all")
        page.click("button:has-text('Give up …')")
        page.fill("input[name=reason]", "nobody needs it")
        page.click("button:has-text('Give up 2')")
        expect(page.locator("h1")).to_have_text("Dead letters")
    for job_id in jobs:
        house.stack.wait_for_status(job_id, "failed")


def test_a_job_is_found_by_its_beginning_and_its_files_are_downloaded(house: House, tmp_path: Path) -> None:
    script = "mkdir -p dist/docs; echo a > dist/a.txt; echo '<script>' > dist/docs/page.html"
    job_id = house.submit(script, "--artifact", "dist/**", "--name", "pack")
    house.stack.wait_for_status(job_id, "success")
    with house.look() as context:
        page = context.new_page()
        house.sign_in(page)
        page.goto("/jobs")
        page.fill("input[name=q]", job_id[:13])
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text(job_id[:8])
        expect(page.locator("table.waterfall svg.bar")).to_have_count(4)
        with page.expect_download() as one:
            page.click(".tree a:has-text('page.html')")
        assert Path(one.value.path()).read_text() == "<script>\n"
        with page.expect_download() as whole:
            page.click("text=as ZIP")
        with zipfile.ZipFile(io.BytesIO(Path(whole.value.path()).read_bytes())) as archive:
            assert sorted(archive.namelist()) == ["dist/a.txt", "dist/docs/page.html"]
        page.click("table.waterfall a:has-text('log')")
        page.wait_for_url("**#a1:L*")
        expect(page.locator(".line.chosen .x")).to_have_text("--- pack", timeout=SECONDS)
    target = tmp_path / "all.zip"
    done = house.stack.cli("job", "download", job_id, "--all", "-o", str(target))
    assert done.returncode == 0, done.stderr
    assert zipfile.is_zipfile(target)


def test_a_viewer_sees_why_and_may_do_nothing(house: House) -> None:
    job_id = parked(house, "exit 5")
    made = house.stack.cli("key", "create", "vera", "--role", "viewer", "--json")
    assert made.returncode == 0, made.stderr
    with house.look() as context:
        page = context.new_page()
        page.goto("/")
        page.fill("input[name=key]", json.loads(made.stdout)["key"])
        page.click("main button")
        page.wait_for_selector("h1:has-text('Overview')")
        page.goto(f"/jobs/{job_id}")
        expect(page.locator(".box.bad")).to_contain_text("exit code 5")
        expect(page.locator("main form[method=post]")).to_have_count(0)
        expect(page.locator("main")).to_contain_text("needs the role operator")
        page.goto("/dead-letters")
        expect(page.locator("main form[method=post]")).to_have_count(0)
